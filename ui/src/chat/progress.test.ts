import { describe, expect, it } from "vitest";
import type { Answer } from "../api/types";
import { about, progressOf, Reporter, substitutionOf } from "./progress";

const answer = (more: Partial<Answer> = {}): Answer => ({ id: "a", model: "m", model_name: "Model M", state: "waiting", text: "", ...more });

describe("what a waiting answer says", () => {
  it("names place and time", () => {
    expect(progressOf(answer({ queue: { place: 3, estimate_ms: 4200 } }))).toBe("Waiting, place 3, about 4 s");
    expect(progressOf(answer({ queue: { place: 1 } }))).toBe("Waiting, place 1");
    expect(progressOf(answer({ retrying: { attempt: 2, code: "provider_error" } }))).toBe("Trying again");
    expect(progressOf(answer())).toBe("");
  });
  it("never promises zero seconds", () => {
    expect(about(120)).toBe("about 1 s");
    expect(about(125_000)).toBe("about 2 min");
    expect(about(undefined)).toBe("");
  });
});

describe("a substitution", () => {
  it("says who, instead of whom and why", () => {
    const got = substitutionOf(answer({ served_by: "n", served_by_name: "Model N", substitute_code: "provider_overloaded" }));
    expect(got).toEqual({ by: "Model N", title: "Answered by Model N instead of Model M", reason: "Model M could not answer because its provider is overloaded." });
  });
  it("finds the reason on the receipt", () => {
    const attempts = [
      { model: "m", provider: "p", outcome: "provider_timeout", start_ms: 0, took_ms: 9 },
      { model: "n", provider: "p", outcome: "ok", start_ms: 9, took_ms: 9 },
    ];
    const receipt = { id: "a", model: "m", served_by: "n", outcome: "finished", tokens: {}, charge_nano_usd: 1, attempts };
    expect(substitutionOf(answer({ served_by: "n", receipt }))?.reason).toContain("because its provider did not answer in time");
  });
  it("has a plain sentence for a code it does not know", () => {
    expect(substitutionOf(answer({ served_by: "n", substitute_code: "brand_new" }))?.reason).toBe("Model M could not answer.");
  });
  it("is none when the asked model answers", () => {
    expect(substitutionOf(answer({ served_by: "m" }))).toBeUndefined();
    expect(substitutionOf(answer())).toBeUndefined();
  });
});

describe("what a screen reader is told", () => {
  const said = (reporter: Reporter, now: number, ...answers: Answer[]) => reporter.report(answers, now);

  it("tells the place at first and then only now and then", () => {
    const reporter = new Reporter();
    expect(said(reporter, 0, answer({ queue: { place: 9, estimate_ms: 9000 } })).polite).toEqual(["Model M: waiting, place 9, about 9 s"]);
    for (let t = 200; t < 8000; t += 200) expect(said(reporter, t, answer({ queue: { place: 8, estimate_ms: t } })).polite).toEqual([]);
    expect(said(reporter, 8000, answer({ queue: { place: 2, estimate_ms: 1000 } })).polite).toEqual(["Model M: waiting, place 2, about 1 s"]);
    expect(said(reporter, 99_000, answer({ queue: { place: 2, estimate_ms: 500 } })).polite).toEqual([]);
  });
  it("tells each new try and each substitution once", () => {
    const reporter = new Reporter();
    const retrying = answer({ state: "streaming", retrying: { attempt: 2, code: "x" } });
    expect(said(reporter, 0, retrying).polite).toEqual(["Model M: trying again"]);
    expect(said(reporter, 1, retrying).polite).toEqual([]);
    expect(said(reporter, 2, answer({ state: "streaming", retrying: { attempt: 3, code: "x" } })).polite).toEqual(["Model M: trying again"]);
    const other = answer({ state: "streaming", served_by: "n", served_by_name: "N", substitute_code: "provider_error" });
    expect(said(reporter, 3, other).polite[0]).toContain("Answered by N");
    expect(said(reporter, 4, { ...other, text: "Hi" }).polite).toEqual([]);
    expect(said(reporter, 5, { ...other, text: "Hi", state: "finished" }).polite).toEqual(["Model M finished, 1 of 1"]);
  });
  it("tells how it ends, failures at once", () => {
    const reporter = new Reporter();
    said(reporter, 0, answer(), answer({ id: "b", model_name: "B" }));
    const failed = answer({ state: "failed", error: { code: "x", message: "Busy." } });
    expect(said(reporter, 1, failed, answer({ id: "b", model_name: "B", state: "finished" }))).toEqual({ polite: ["B finished, 2 of 2"], urgent: ["Model M failed: Busy."] });
  });
  it("says nothing about what had ended before", () => {
    expect(said(new Reporter(), 0, answer({ state: "finished", served_by: "n" }))).toEqual({ polite: [], urgent: [] });
  });
});
