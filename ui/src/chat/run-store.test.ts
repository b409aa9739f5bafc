import { beforeEach, describe, expect, it } from "vitest";
import type { Answer, Run } from "../api/types";
import { putRun, useRuns } from "./run-store";

const answer: Answer = { id: "a", model: "m", model_name: "M", state: "streaming", text: "Hi", served_by: "n", served_by_name: "N" };
const run = (seq: number, more: Partial<Answer>): Run => ({ id: "r", conversation_id: "c", state: "running", prompt: "hi", created_at: "", seq, answers: [{ ...answer, ...more }] });
const kept = () => useRuns.getState().runs.r!;

beforeEach(() => useRuns.setState({ runs: {} }));

describe("a run that is read again", () => {
  it("takes the place of an older copy, but keeps why another model answers", () => {
    putRun(run(3, { substitute_code: "provider_timeout" }));
    putRun(run(7, { text: "Hi there" }));
    expect(kept().seq).toBe(7);
    expect(kept().answers[0]).toMatchObject({ text: "Hi there", substitute_code: "provider_timeout" });
  });
  it("does not keep the reason for a model that answers no more", () => {
    putRun(run(3, { substitute_code: "provider_timeout" }));
    putRun(run(7, { served_by: "o", served_by_name: "O" }));
    expect(kept().answers[0]!.substitute_code).toBeUndefined();
  });
  it("does not take the place of a newer copy", () => {
    putRun(run(7, { text: "Hi there" }));
    putRun({ ...run(3, {}), selected: ["a"] });
    expect(kept()).toMatchObject({ seq: 7, selected: ["a"] });
    expect(kept().answers[0]!.text).toBe("Hi there");
  });
});
