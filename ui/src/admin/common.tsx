import { useInfiniteQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { get, Problem, query } from "../api/client";
import type { Page as ListPage } from "../api/types";
import { queryClient } from "../app/query-client";
import { ErrorBox, SkeletonRows } from "../ui/bits";
import { Button } from "../ui/button";

/** A paged list of the admin API. */
export function useAdminList<T>(path: string, params: Record<string, string | number | undefined> = {}) {
  const list = useInfiniteQuery({
    queryKey: ["admin", path, params],
    queryFn: ({ pageParam, signal }) => get<ListPage<T>>(`/api/admin/${path}${query({ ...params, cursor: pageParam })}`, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next_cursor,
    placeholderData: (previous) => previous,
    staleTime: 0,
  });
  return {
    ...list,
    rows: list.data?.pages.flatMap((p) => p.items ?? []) ?? [],
    more: list.hasNextPage ? () => void list.fetchNextPage() : undefined,
  };
}

/** A configuration change touches many lists and what people may choose in the chat. */
export function configChanged() {
  void queryClient.invalidateQueries({ queryKey: ["admin"] });
  void queryClient.invalidateQueries({ queryKey: ["models"] });
}

interface LoaderProps {
  list: { isPending: boolean; error: Error | null; refetch: () => unknown };
  children: ReactNode;
}

export function Loader({ list, children }: LoaderProps) {
  if (list.isPending) return <SkeletonRows />;
  if (list.error) return <ErrorBox error={list.error} onRetry={() => void list.refetch()} />;
  return children;
}

/** An error of a save; when somebody else saved first, says so and offers the newest. */
export function SaveError({ error, onReload }: { error: Error | null; onReload: () => void }) {
  if (!error) return null;
  if (error instanceof Problem && error.status === 412) {
    return (
      <div role="alert" className="flex items-center justify-between gap-3 rounded-xl border border-warn/40 bg-warn-soft p-3.5 text-sm text-warn">
        <p>Someone else changed this while you were editing. Reload to see their change; yours is not saved.</p>
        <Button size="sm" onClick={onReload}>
          Reload
        </Button>
      </div>
    );
  }
  return <ErrorBox error={error} />;
}

export const fieldError = (error: Error | null, field: string) =>
  error instanceof Problem && error.field?.split(/[.[]/)[0] === field ? error.message : undefined;

export function wholeNumber(text: string): number {
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

export function listOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

export function Mono({ children }: { children: ReactNode }) {
  return <code className="font-mono text-[13px]">{children}</code>;
}
