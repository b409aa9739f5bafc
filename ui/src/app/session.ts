import { useQuery } from "@tanstack/react-query";
import { get, post, Problem, setSignedOutHandler } from "../api/client";
import type { AppConfig, Me } from "../api/types";
import { useBalance } from "../chat/run-store";
import { live } from "./live";
import { queryClient } from "./query-client";

export function useConfig() {
  return useQuery({ queryKey: ["config"], queryFn: ({ signal }) => get<AppConfig>("/api/config", signal), staleTime: 300_000 });
}

/** null: nobody is signed in. */
async function readMe(signal: AbortSignal): Promise<Me | null> {
  try {
    const me = await get<Me>("/api/me", signal);
    takeBalance(me);
    return me;
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return null;
    throw error;
  }
}

function takeBalance({ balance_nano_usd, held_nano_usd, available_nano_usd }: Me) {
  useBalance.setState({ balance: { balance_nano_usd, held_nano_usd, available_nano_usd } });
}

export function useSession() {
  return useQuery({ queryKey: ["me"], queryFn: ({ signal }) => readMe(signal), staleTime: 60_000 });
}

export function useMe(): Me | undefined {
  return useSession().data ?? undefined;
}

export function signedIn(me: Me) {
  queryClient.clear();
  queryClient.setQueryData(["me"], me);
  takeBalance(me);
}

export function signedOut() {
  live.stop();
  queryClient.removeQueries({ predicate: (q) => q.queryKey[0] !== "config" && q.queryKey[0] !== "me" });
  queryClient.setQueryData(["me"], null);
}

export async function signOut() {
  await post("/api/auth/logout");
  // A fresh page keeps nothing of the last person in memory.
  location.assign("/login");
}

setSignedOutHandler(() => {
  if (queryClient.getQueryData(["me"])) signedOut();
});
