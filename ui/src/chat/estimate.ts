import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { post } from "../api/client";
import type { Estimate, RunRequest } from "../api/types";

function useDebounced<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/** What sending this would cost, at least and at most. Nothing is asked while the prompt is empty. */
export function useEstimate(prompt: string, models: string[], images: string[], conversation: string | undefined, spend?: number) {
  const settled = useDebounced(prompt.trim(), 400);
  const ask = (settled !== "" || images.length > 0) && models.length > 0;
  const body: RunRequest = { prompt: settled, models, conversation_id: conversation, images: images.length ? images : undefined, max_cost_nano_usd: spend };
  const query = useQuery({
    queryKey: ["estimate", settled, models.join(), images.length, images.at(-1)?.length, conversation, spend],
    queryFn: ({ signal }) => post<Estimate>("/api/runs/estimate", body, { signal }),
    enabled: ask,
    placeholderData: keepPreviousData,
    gcTime: 10_000,
    retry: false,
  });
  return ask && prompt.trim() !== "" ? query.data : undefined;
}
