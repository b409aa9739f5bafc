import { queryClient } from "./query-client";
import { get } from "../api/client";
import { Live } from "../api/socket";
import type { Conversation, Page, Run } from "../api/types";
import type { InfiniteData } from "@tanstack/react-query";
import { create } from "zustand";
import { lastSeq, pushEvent, putRun, setGapHandler, useBalance } from "../chat/run-store";

export const useOnline = create<{ online: boolean }>(() => ({ online: true }));

async function reread(run: string) {
  try {
    const fresh = await get<Run>(`/api/runs/${run}`);
    putRun(fresh);
    if (fresh.state === "running") setTimeout(() => live.refollow(run), 1000);
  } catch {
    setTimeout(() => live.refollow(run), 3000);
  }
}

export const live = new Live({
  event: pushEvent,
  balance: (balance) => useBalance.setState({ balance }),
  catalog: () => {
    void queryClient.invalidateQueries({ queryKey: ["models"] });
    void queryClient.invalidateQueries({ queryKey: ["config"] });
    void queryClient.invalidateQueries({ queryKey: ["admin", "alerts"] });
    void queryClient.invalidateQueries({ queryKey: ["admin", "upstreams"] });
  },
  conversation: (id, title) => {
    queryClient.setQueriesData<InfiniteData<Page<Conversation>>>({ queryKey: ["conversations"] }, (data) =>
      data && {
        ...data,
        pages: data.pages.map((page) => ({ ...page, items: page.items.map((c) => (c.id === id ? { ...c, title } : c)) })),
      },
    );
    queryClient.setQueryData<Conversation>(["conversation", id], (c) => c && { ...c, title });
  },
  lost: (run) => void reread(run),
  lastSeq,
  status: (online) => useOnline.setState({ online }),
});

setGapHandler((run) => live.refollow(run));
