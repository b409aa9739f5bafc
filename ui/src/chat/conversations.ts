import { useInfiniteQuery, useMutation, type InfiniteData } from "@tanstack/react-query";
import { queryClient } from "../app/query-client";
import { del, get, patch, query } from "../api/client";
import type { Conversation, ConversationDetail, Page } from "../api/types";
import { toastProblem } from "../ui/toast";

export function useConversations(q: string) {
  return useInfiniteQuery({
    queryKey: ["conversations", q],
    queryFn: ({ pageParam, signal }) => get<Page<Conversation>>(`/api/conversations${query({ q, cursor: pageParam, limit: 40 })}`, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next_cursor,
    placeholderData: (previous) => previous,
  });
}

export const refreshConversations = () => queryClient.invalidateQueries({ queryKey: ["conversations"] });

type Change = { id: string; title?: string; pinned?: boolean };

export function useChangeConversation() {
  return useMutation({
    mutationFn: ({ id, ...change }: Change) => patch<Conversation>(`/api/conversations/${id}`, change),
    onMutate: ({ id, ...change }) => {
      queryClient.setQueriesData<InfiniteData<Page<Conversation>>>({ queryKey: ["conversations"] }, (data) =>
        data && { ...data, pages: data.pages.map((p) => ({ ...p, items: p.items.map((c) => (c.id === id ? { ...c, ...change } : c)) })) },
      );
      queryClient.setQueryData<ConversationDetail>(["conversation", id], (c) => c && { ...c, ...change });
    },
    onError: toastProblem,
    onSettled: refreshConversations,
  });
}

export function useDeleteConversation() {
  return useMutation({
    mutationFn: (id: string) => del(`/api/conversations/${id}`),
    onSuccess: (_, id) => queryClient.removeQueries({ queryKey: ["conversation", id] }),
    onError: toastProblem,
    onSettled: refreshConversations,
  });
}
