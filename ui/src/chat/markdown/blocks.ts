import { Lexer } from "marked";

export interface Split {
  text: string;
  /** Consecutive pieces; joined they are the text again. */
  blocks: string[];
  /** Link definitions or footnotes reach across blocks, so the whole has to be rendered at once. */
  linked: boolean;
}

const none: Split = { text: "", blocks: [], linked: false };
const definition = /^ {0,3}\[[^\]]+\]:\s/;

/**
 * Splits Markdown into its top-level blocks. Given the split of a shorter version of the same
 * text, only its last block is read again.
 */
export function splitBlocks(source: string, before: Split = none): Split {
  const text = source.includes("\r") ? source.replace(/\r\n?/g, "\n") : source;
  if (text === before.text) return before;
  const grows = before.blocks.length > 0 && text.startsWith(before.text);
  const kept = grows ? before.blocks.slice(0, -1) : [];
  let offset = 0;
  for (const block of kept) offset += block.length;
  const rest = text.slice(offset);

  const blocks = kept;
  let linked = grows && before.linked;
  let read = 0;
  for (const token of new Lexer({ gfm: true }).blockTokens(rest, [])) {
    if (token.type === "def" || (token.type === "paragraph" && definition.test(token.raw))) linked = true;
    read += token.raw.length;
    if (token.type === "space" && blocks.length > 0) blocks[blocks.length - 1] += token.raw;
    else blocks.push(token.raw);
  }
  // Whatever the lexer left out or changed, nothing of the text may be lost.
  if (read !== rest.length || blocks.join("") !== text) return { text, blocks: [text], linked };
  return { text, blocks, linked };
}

export interface OpenFence {
  lang: string;
  code: string;
}

/** A code block whose closing fence has not come yet. */
export function openFence(block: string): OpenFence | undefined {
  const head = /^ {0,3}(`{3,}|~{3,})([^\n`]*)(?:\n|$)/.exec(block);
  if (!head) return undefined;
  const fence = head[1]!;
  const code = block.slice(head[0].length);
  const closing = new RegExp(`^ {0,3}${fence[0]}{${fence.length},}[ \\t]*$`, "m");
  if (closing.test(code)) return undefined;
  return { lang: head[2]!.trim().split(/\s/)[0] ?? "", code };
}
