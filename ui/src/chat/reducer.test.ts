import { describe, expect, it } from "vitest";
import type { Run, RunEvent } from "../api/types";
import { applyEvents } from "./reducer";

const empty: Run = { id: "r", conversation_id: "c", state: "running", prompt: "hi", created_at: "", seq: 0, answers: [] };
const log: RunEvent[] = [
  { seq: 1, run: "r", type: "run.started", conversation: "c", answers: [{ id: "a", model: "m", model_name: "M" }, { id: "b", model: "n", model_name: "N" }] },
  { seq: 2, run: "r", type: "answer.started", answer: "a" },
  { seq: 3, run: "r", type: "answer.delta", answer: "a", text: "Hel" },
  { seq: 4, run: "r", type: "answer.delta", answer: "a", reasoning: "hm" },
  { seq: 5, run: "r", type: "answer.delta", answer: "a", text: "lo" },
  { seq: 6, run: "r", type: "answer.failed", answer: "b", code: "overloaded", message: "Busy.", retryable: true },
  { seq: 7, run: "r", type: "answer.finished", answer: "a", finish_reason: "stop", receipt: { id: "x", model: "m", outcome: "finished", tokens: {}, charge_nano_usd: 5 } },
  { seq: 8, run: "r", type: "run.finished" },
];
const whole = applyEvents(empty, log).run;

describe("run events", () => {
  it("builds the run", () => {
    expect(whole.state).toBe("finished");
    expect(whole.answers[0]).toMatchObject({ text: "Hello", reasoning: "hm", state: "finished", charge_nano_usd: 5, receipt_id: "x" });
    expect(whole.answers[1]).toMatchObject({ state: "failed", error: { code: "overloaded", retryable: true } });
  });
  it("ignores what it has seen, in any cut", () => {
    for (let cut = 0; cut <= log.length; cut++) {
      const first = applyEvents(empty, log.slice(0, cut)).run;
      for (let from = 0; from <= cut; from++) {
        expect(applyEvents(first, log.slice(from))).toEqual({ run: whole, gap: false });
      }
    }
  });
  it("stops at a gap and keeps what came before", () => {
    const { run, gap } = applyEvents(empty, [log[0]!, log[1]!, log[4]!]);
    expect(gap).toBe(true);
    expect(run.seq).toBe(2);
    expect(run.answers[0]!.text).toBe("");
  });
  it("continues from a snapshot", () => {
    const snapshot = applyEvents(empty, log.slice(0, 4)).run;
    expect(applyEvents({ ...snapshot, seq: 4 }, log).run.answers[0]!.text).toBe("Hello");
  });
  it("leaves the other answers as they are", () => {
    const before = applyEvents(empty, log.slice(0, 2)).run;
    const after = applyEvents(before, [log[2]!]).run;
    expect(after.answers[1]).toBe(before.answers[1]);
  });
  it("marks a stopped answer", () => {
    const before = applyEvents(empty, log.slice(0, 5)).run;
    const { run } = applyEvents(before, [{ seq: 6, run: "r", type: "answer.finished", answer: "a", finish_reason: "stopped" }]);
    expect(run.answers[0]!.state).toBe("stopped");
  });
  it("ignores events it does not know, and what belongs to no answer", () => {
    const before = applyEvents(empty, log.slice(0, 2)).run;
    const strange = { seq: 3, run: "r", type: "answer.sang", answer: "a", tune: "la" } as unknown as RunEvent;
    const { run, gap } = applyEvents(before, [strange, { seq: 4, run: "r", type: "answer.queued", answer: "zz", place: 1 }, { ...log[2]!, seq: 5 } as RunEvent]);
    expect(gap).toBe(false);
    expect(run.seq).toBe(5);
    expect(run.answers[0]!.text).toBe("Hel");
    expect(run.answers[1]).toBe(before.answers[1]);
  });
});

describe("an answer on its way", () => {
  const started = applyEvents(empty, log.slice(0, 1)).run;
  const event = (seq: number, more: object) => ({ seq, run: "r", answer: "a", ...more }) as RunEvent;
  const after = (...events: object[]) => applyEvents(started, events.map((e, i) => event(i + 2, e))).run.answers[0]!;

  it("waits for a place until place 0", () => {
    const queued = { type: "answer.queued", place: 3, estimate_ms: 4000 };
    expect(after(queued)).toMatchObject({ state: "waiting", queue: { place: 3, estimate_ms: 4000 } });
    expect(after(queued, { type: "answer.queued", place: 1, estimate_ms: 900 }).queue).toEqual({ place: 1, estimate_ms: 900 });
    expect(after(queued, { type: "answer.queued", place: 0, estimate_ms: 0 }).queue).toBeUndefined();
    expect(after(queued, { type: "answer.started" })).toMatchObject({ state: "streaming", queue: undefined });
  });
  it("tries again until there is text", () => {
    const retry = { type: "answer.retrying", attempt: 2, code: "provider_timeout" };
    expect(after({ type: "answer.started" }, retry).retrying).toEqual({ attempt: 2, code: "provider_timeout" });
    expect(after(retry, { type: "answer.delta", text: "Hi" })).toMatchObject({ state: "streaming", text: "Hi", retrying: undefined });
    expect(after(retry, { type: "answer.queued", place: 2 })).toMatchObject({ retrying: { attempt: 2 }, queue: { place: 2 } });
  });
  it("is answered by another model", () => {
    const other = { type: "answer.substituted", model: "m2", model_name: "M two", code: "provider_overloaded" };
    const receipt = { id: "x", model: "m", served_by: "m2", outcome: "finished", tokens: {}, charge_nano_usd: 5 };
    const got = after({ type: "answer.retrying", attempt: 2, code: "provider_error" }, other, { type: "answer.delta", text: "Hi" }, { type: "answer.finished", finish_reason: "stop", receipt });
    expect(got).toMatchObject({ state: "finished", model: "m", served_by: "m2", served_by_name: "M two", substitute_code: "provider_overloaded", retrying: undefined });
  });
  it("learns from the receipt who answered", () => {
    const receipt = { id: "x", model: "m", served_by: "m2", outcome: "finished", tokens: {}, charge_nano_usd: 5 };
    expect(after({ type: "answer.finished", finish_reason: "stop", receipt })).toMatchObject({ served_by: "m2", served_by_name: "m2" });
    expect(after({ type: "answer.finished", finish_reason: "stop", receipt: { ...receipt, served_by: "m" } }).served_by).toBeUndefined();
  });
  it("waits no more once it has ended", () => {
    const queued = { type: "answer.queued", place: 3 };
    const failed = { type: "answer.failed", code: "queue_full", message: "Full." };
    expect(after(queued, failed)).toMatchObject({ state: "failed", queue: undefined });
    expect(after(failed, queued, { type: "answer.retrying", attempt: 2, code: "x" }, { type: "answer.started" })).toMatchObject({ state: "failed", queue: undefined });
    expect(after(failed, queued).queue).toBeUndefined();
  });
});
