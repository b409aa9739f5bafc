export interface KeyPress {
  key: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  isComposing: boolean;
  keyCode: number;
}

export interface KeyContext {
  /** On touch keyboards Enter is a new line; the button sends. */
  touch: boolean;
  /** Milliseconds since an input method finished a word. */
  sinceComposition: number;
}

/** Whether a key press in the composer sends the message. */
export function sends(press: KeyPress, context: KeyContext): boolean {
  if (press.key !== "Enter" || press.shiftKey || press.altKey) return false;
  if (press.isComposing) return false;
  // Safari ends the composition before this key press and marks it only with key code 229. Others
  // send 229 for ordinary presses too, so the code alone proves nothing.
  if (press.keyCode === 229 && context.sinceComposition < 100) return false;
  if (press.ctrlKey || press.metaKey) return true;
  return !context.touch;
}
