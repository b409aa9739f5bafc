import { describe, expect, it } from "vitest";
import { clampFault, retirement, rulesForm, rulesOf } from "./rules";

describe("parameter rules", () => {
  const rules = { cap_parameter: "max_completion_tokens", refuse: ["top_p"], clamp: { temperature: { min: 0, max: 1 } }, reasoning: "budget" };
  it("come back as they were, with what the form does not show", () => {
    expect(rulesOf(rulesForm(rules), rules)).toEqual({ ...rules, cancel_bills: false });
    expect(rulesOf(rulesForm(undefined), undefined)).toEqual({ clamp: null, reasoning: "", cancel_bills: false });
  });
  it("keep numbers and leave empty rows out", () => {
    const form = { ...rulesForm(rules), clamps: [{ name: " top_p ", min: "0.1", max: "1" }, { name: "", min: "", max: "" }] };
    expect(rulesOf(form, rules)?.clamp).toEqual({ top_p: { min: 0.1, max: 1 } });
  });
  it("say what is wrong with a row", () => {
    const row = { name: "temperature", min: "0", max: "1" };
    expect(clampFault(row, [row])).toBe("");
    expect(clampFault({ ...row, name: "" }, [])).toContain("Name");
    expect(clampFault({ ...row, min: "1e" }, [])).toContain("numbers");
    expect(clampFault({ ...row, min: "2" }, [])).toContain("above");
    expect(clampFault(row, [row, { ...row }])).toContain("twice");
    expect(rulesOf({ ...rulesForm(undefined), clamps: [{ name: "a", min: "", max: "1" }] }, undefined)).toBeUndefined();
  });
});

describe("retirement", () => {
  const now = Date.parse("2027-01-30T12:00:00Z");
  it("warns from 60 days before on, and after", () => {
    expect(retirement("2027-04-15", now)).toEqual({ text: "retires on 2027-04-15", soon: false });
    expect(retirement("2027-03-31", now)).toEqual({ text: "retires on 2027-03-31", soon: true });
    expect(retirement("2027-01-30", now)).toEqual({ text: "retired on 2027-01-30", soon: true });
    expect(retirement("2026-12-01", now)?.text).toBe("retired on 2026-12-01");
  });
  it("is nothing without a day", () => {
    expect(retirement(undefined)).toBeUndefined();
    expect(retirement("")).toBeUndefined();
    expect(retirement("soon")).toBeUndefined();
  });
});
