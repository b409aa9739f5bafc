import { describe, expect, it } from "vitest";
import { coolsFor, standing } from "./upstreams";

const now = Date.parse("2026-11-26T10:00:00Z");

describe("the state of a key or model", () => {
  it("is said in words", () => {
    expect(standing({ state: "closed", failures: 0 }, now)).toEqual({ tone: "ok", text: "works" });
    expect(standing({ state: "open", cooling_until: "2026-11-26T10:00:41.2Z" }, now)).toEqual({ tone: "bad", text: "left alone for 42 s" });
    expect(standing({ state: "half_open" }, now)).toEqual({ tone: "warn", text: "being tried again" });
    expect(standing({ state: "closed", cooling_until: "2026-11-26T10:05:00Z" }, now)).toEqual({ tone: "warn", text: "resting for 5 min" });
    expect(standing({ state: "closed", fault: "provider_key_refused" }, now).tone).toBe("bad");
  });
  it("rests no longer than it says", () => {
    expect(coolsFor("2026-11-26T09:59:59Z", now)).toBe("");
    expect(coolsFor(undefined, now)).toBe("");
  });
});
