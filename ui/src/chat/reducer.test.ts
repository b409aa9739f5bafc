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
});
