import type { Answer, Run, RunEvent } from "../api/types";

export type Applied = { run: Run; gap: boolean };

function change(run: Run, id: string, edit: (answer: Answer) => Answer): Answer[] {
  return run.answers.map((answer) => (answer.id === id ? edit(answer) : answer));
}

function step(run: Run, event: RunEvent): Run {
  switch (event.type) {
    case "run.started": {
      const known = new Map(run.answers.map((answer) => [answer.id, answer]));
      return {
        ...run,
        conversation_id: event.conversation ?? run.conversation_id,
        answers: event.answers.map((a) => known.get(a.id) ?? { ...a, state: "waiting", text: "" }),
      };
    }
    case "answer.started":
      return { ...run, answers: change(run, event.answer, (a) => (a.state === "waiting" ? { ...a, state: "streaming" } : a)) };
    case "answer.delta":
      return {
        ...run,
        answers: change(run, event.answer, (a) => ({
          ...a,
          state: "streaming",
          text: event.text ? a.text + event.text : a.text,
          reasoning: event.reasoning ? (a.reasoning ?? "") + event.reasoning : a.reasoning,
        })),
      };
    case "answer.finished":
      return {
        ...run,
        answers: change(run, event.answer, (a) => ({
          ...a,
          state: event.finish_reason === "stopped" ? "stopped" : "finished",
          finish_reason: event.finish_reason,
          usage: event.usage ?? a.usage,
          ...fromReceipt(event.receipt),
        })),
      };
    case "answer.failed":
      return {
        ...run,
        answers: change(run, event.answer, (a) => ({
          ...a,
          state: "failed",
          error: { code: event.code, message: event.message, retryable: event.retryable, retry_after: event.retry_after },
          ...fromReceipt(event.receipt),
        })),
      };
    case "run.finished":
      return { ...run, state: "finished" };
    default:
      return run;
  }
}

function fromReceipt(receipt: Answer["receipt"]): Partial<Answer> {
  if (!receipt) return {};
  return {
    receipt,
    receipt_id: receipt.id,
    charge_nano_usd: receipt.charge_nano_usd,
    first_token_ms: receipt.first_token_ms,
    total_ms: receipt.total_ms,
  };
}

/**
 * Applies events in order. One that was seen before changes nothing; one that comes too early is
 * left out and reported as a gap, so that the caller asks again from `run.seq`.
 */
export function applyEvents(run: Run, events: RunEvent[]): Applied {
  let next = run;
  for (const event of events) {
    if (event.seq <= next.seq) continue;
    if (event.seq > next.seq + 1) return { run: next, gap: true };
    next = { ...step(next, event), seq: event.seq };
  }
  return { run: next, gap: false };
}
