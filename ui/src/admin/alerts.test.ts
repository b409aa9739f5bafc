import { describe, expect, it } from "vitest";
import type { Alert } from "../api/admin-types";
import { faultsOf, shownFaults } from "./alerts";

const alert = (more: Partial<Alert> = {}): Alert => ({
  id: "1",
  severity: "warning",
  code: "provider_quota",
  provider: "openai",
  text: "OpenAI's account is empty. Top it up.",
  since: "2026-11-26T10:00:00Z",
  last: "2026-11-26T10:05:00Z",
  count: 3,
  instance: "a",
  ...more,
});

describe("alerts of several instances", () => {
  it("are one fault with one count", () => {
    const faults = faultsOf([alert(), alert({ id: "2", instance: "b", severity: "error", since: "2026-11-26T09:00:00Z", last: "2026-11-26T11:00:00Z", count: 4, detail: "You exceeded your quota." })]);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({ severity: "error", instances: 2, count: 7, since: "2026-11-26T09:00:00Z", detail: "You exceeded your quota." });
  });
  it("stay apart by provider, model and code, errors first", () => {
    const faults = faultsOf([alert(), alert({ model: "m" }), alert({ provider: "xai", severity: "error" }), alert({ code: "provider_key_refused" })]);
    expect(faults).toHaveLength(4);
    expect(faults[0]!.provider).toBe("xai");
  });
  it("stay dismissed until they begin anew", () => {
    const [fault] = faultsOf([alert()]);
    const dismissed = { [fault!.key]: fault!.since };
    expect(shownFaults(faultsOf([alert({ count: 99, last: "2026-11-27T00:00:00Z" })]), dismissed)).toEqual([]);
    expect(shownFaults(faultsOf([alert({ since: "2026-11-26T12:00:00Z" })]), dismissed)).toHaveLength(1);
    expect(shownFaults(faultsOf([alert({ model: "m" })]), dismissed)).toHaveLength(1);
  });
});
