import { queryClient } from "../app/query-client";
import { live } from "../app/live";
import { newKey, post, put } from "../api/client";
import type { ConversationDetail, Run, RunRequest } from "../api/types";
import { toastProblem } from "../ui/toast";
import { refreshConversations } from "./conversations";
import { putRun } from "./run-store";

/** Takes a run into the page: its text so far, its place in the conversation, and what follows. */
export function adopt(run: Run) {
  putRun(run);
  if (run.state === "running") live.follow(run.id);
  queryClient.setQueryData<ConversationDetail>(["conversation", run.conversation_id], (old) => {
    const base = old ?? { id: run.conversation_id, title: "", pinned: false, created_at: run.created_at, updated_at: run.created_at, runs: [] };
    const runs = base.runs ?? [];
    return runs.some((r) => r.id === run.id) ? base : { ...base, runs: [...runs, run] };
  });
}

export async function startRun(body: RunRequest, key: string): Promise<Run> {
  const run = await post<Run>("/api/runs", body, { idempotencyKey: key });
  adopt(run);
  void refreshConversations();
  return run;
}

export async function retryAnswer(run: Run, answer: string) {
  try {
    adopt(await post<Run>(`/api/runs/${run.id}/retry`, { answer }, { idempotencyKey: newKey() }));
  } catch (error) {
    toastProblem(error);
  }
}

export async function stopRun(run: string, answer?: string) {
  try {
    const stopped = await post<Run>(`/api/runs/${run}/stop`, answer ? { answer } : {});
    putRun(stopped);
  } catch (error) {
    toastProblem(error);
  }
}

export async function selectAnswers(run: Run, answers: string[]) {
  try {
    putRun(await put<Run>(`/api/conversations/${run.conversation_id}/runs/${run.id}/selection`, { answers }));
  } catch (error) {
    toastProblem(error);
  }
}
