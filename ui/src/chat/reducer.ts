import type { Answer, Run, RunEvent } from "../api/types";

export type Applied = { run: Run; gap: boolean };

function change(run: Run, id: string, edit: (answer: Answer) => Answer): Answer[] {
  return run.answers.map((answer) => (answer.id === id ? edit(answer) : answer));
}

const ended = (answer: Answer) => answer.state !== "waiting" && answer.state !== "streaming";

/** What is over as soon as there are words, or an end. */
const settled = { queue: undefined, retrying: undefined };

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
    case "answer.queued": {
      const queue = event.place ? { place: event.place, estimate_ms: event.estimate_ms } : undefined;
      return { ...run, answers: change(run, event.answer, (a) => (ended(a) ? a : { ...a, queue })) };
    }
    case "answer.started":
      return {
        ...run,
        answers: change(run, event.answer, (a) => (ended(a) ? a : { ...a, state: "streaming", queue: undefined })),
      };
    case "answer.retrying": {
      const retrying = { attempt: event.attempt ?? 0, code: event.code ?? "" };
      return { ...run, answers: change(run, event.answer, (a) => (ended(a) ? a : { ...a, retrying, queue: undefined })) };
    }
    case "answer.substituted":
      return {
        ...run,
        answers: change(run, event.answer, (a) => ({
          ...a,
          served_by: event.model,
          served_by_name: event.model_name ?? event.model,
          substitute_code: event.code,
          retrying: undefined,
          queue: undefined,
        })),
      };
    case "answer.delta":
      return {
        ...run,
        answers: change(run, event.answer, (a) => ({
          ...a,
          ...settled,
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
          ...settled,
          state: event.finish_reason === "stopped" ? "stopped" : "finished",
          finish_reason: event.finish_reason,
          usage: event.usage ?? a.usage,
          ...fromReceipt(a, event.receipt),
        })),
      };
    case "answer.failed":
      return {
        ...run,
        answers: change(run, event.answer, (a) => ({
          ...a,
          ...settled,
          state: "failed",
          error: { code: event.code, message: event.message, retryable: event.retryable, retry_after: event.retry_after },
          ...fromReceipt(a, event.receipt),
        })),
      };
    case "run.finished":
      return { ...run, state: "finished" };
    default:
      // A newer server may tell more than this page knows.
      return run;
  }
}

function fromReceipt(answer: Answer, receipt: Answer["receipt"]): Partial<Answer> {
  if (!receipt) return {};
  const other = receipt.served_by && receipt.served_by !== receipt.model ? receipt.served_by : undefined;
  return {
    ...(other && other !== answer.served_by && { served_by: other, served_by_name: other }),
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
