import { describe, expect, it } from "vitest";
import { openFence, splitBlocks, type Split } from "./blocks";

const sample = `# Title

A paragraph with **bold**,
over two lines.

- one
- two

  still two
    - nested

\`\`\`ts
const a = 1;

const b = 2;
\`\`\`

| a | b |
|---|---|
| 1 | 2 |

> quote

1. x
2. y

---
$5 and $7. Last words`;

describe("splitBlocks", () => {
  it("loses nothing and cuts at blocks", () => {
    const { blocks } = splitBlocks(sample);
    expect(blocks.join("")).toBe(sample);
    expect(blocks.length).toBe(9);
    expect(blocks.some((b) => b.startsWith("```ts") && b.includes("const b"))).toBe(true);
  });
  it("gives the same blocks however the text arrives", () => {
    const whole = splitBlocks(sample);
    for (const size of [1, 3, 7, 40]) {
      let split: Split | undefined;
      for (let end = size; end < sample.length + size; end += size) split = splitBlocks(sample.slice(0, end), split);
      expect(split!.blocks).toEqual(whole.blocks);
    }
  });
  it("keeps finished blocks as they are", () => {
    const first = splitBlocks("one\n\ntwo\n\nthr");
    const second = splitBlocks("one\n\ntwo\n\nthree and more", first);
    expect(second.blocks.slice(0, 2)).toEqual(first.blocks.slice(0, 2));
    expect(splitBlocks(second.text, second)).toBe(second);
  });
  it("starts over when the text is another one", () => {
    expect(splitBlocks("other", splitBlocks("one\n\ntwo")).blocks).toEqual(["other"]);
  });
  it("notices definitions", () => {
    expect(splitBlocks("see [a][1]\n\n[1]: https://example.com\n").linked).toBe(true);
    expect(splitBlocks("plain [a](b)").linked).toBe(false);
  });
  it("takes Windows line ends", () => expect(splitBlocks("a\r\n\r\nb").blocks.join("")).toBe("a\n\nb"));
});

describe("openFence", () => {
  it("finds a block that is still being written", () => {
    expect(openFence("```py\nprint(1)\n")).toEqual({ lang: "py", code: "print(1)\n" });
    expect(openFence("```")).toEqual({ lang: "", code: "" });
    expect(openFence("````md\n```\n")).toEqual({ lang: "md", code: "```\n" });
  });
  it("leaves closed ones and other text alone", () => {
    expect(openFence("```py\nx\n```\n")).toBeUndefined();
    expect(openFence("text ``` more")).toBeUndefined();
  });
});
