import { describe, expect, it } from "vitest";
import { sends, type KeyPress } from "./composer-keys";

const enter: KeyPress = { key: "Enter", shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, isComposing: false, keyCode: 13 };
const desk = { touch: false, sinceComposition: Infinity };

describe("Enter in the composer", () => {
  it("sends", () => expect(sends(enter, desk)).toBe(true));
  it("is a new line with Shift or Alt", () => {
    expect(sends({ ...enter, shiftKey: true }, desk)).toBe(false);
    expect(sends({ ...enter, altKey: true }, desk)).toBe(false);
  });
  it("only picks the word while an input method is composing", () => {
    expect(sends({ ...enter, isComposing: true, keyCode: 229 }, desk)).toBe(false);
    expect(sends({ ...enter, keyCode: 229 }, { ...desk, sinceComposition: 3 })).toBe(false);
  });
  it("sends again right after, also where the key code is always 229", () => {
    expect(sends(enter, { ...desk, sinceComposition: 3 })).toBe(true);
    expect(sends({ ...enter, keyCode: 229 }, { ...desk, sinceComposition: 900 })).toBe(true);
  });
  it("is a new line on touch keyboards, unless with Ctrl or Cmd", () => {
    expect(sends(enter, { ...desk, touch: true })).toBe(false);
    expect(sends({ ...enter, ctrlKey: true }, { ...desk, touch: true })).toBe(true);
    expect(sends({ ...enter, metaKey: true }, desk)).toBe(true);
  });
  it("leaves other keys alone", () => expect(sends({ ...enter, key: "a" }, desk)).toBe(false));
});
