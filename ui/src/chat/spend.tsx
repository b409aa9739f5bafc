import { SlidersHorizontal } from "lucide-react";
import { useState } from "react";
import { create } from "zustand";
import { cx } from "../ui/cx";
import { TextField } from "../ui/field";
import { Popover } from "../ui/menu";
import { creditsToNano, exactCredits, nanoToCredits } from "../ui/money";

const stored = "om.spend";

/** The most one question may cost, kept for this tab; undefined: no limit of one's own. */
export const useSpend = create<{ nano?: number }>(() => {
  const nano = Number(sessionStorage.getItem(stored));
  return { nano: Number.isSafeInteger(nano) && nano > 0 ? nano : undefined };
});

function setSpend(nano: number | undefined) {
  useSpend.setState({ nano });
  if (nano) sessionStorage.setItem(stored, String(nano));
  else sessionStorage.removeItem(stored);
}

/** The composer's options: a button that says when one of them is set. */
export function Options() {
  const nano = useSpend((s) => s.nano);
  const [text, setText] = useState(nano ? nanoToCredits(nano) : "");
  const bad = text.trim() !== "" && !creditsToNano(text);
  return (
    <Popover
      label="Options"
      trigger={
        <button
          type="button"
          title="Options"
          className={cx(
            "flex h-8 min-w-8 shrink-0 items-center justify-center gap-1.5 rounded-full px-2 text-[13px] tabular-nums transition hover:bg-hover hover:text-text touch:h-11 touch:min-w-11",
            nano ? "font-medium text-accent" : "text-muted",
          )}
        >
          <SlidersHorizontal className="size-4" aria-hidden="true" />
          <span className="sr-only">{nano ? "Options: spend " : "Options"}</span>
          {nano && <span>at most {exactCredits(nano)}</span>}
          {nano && <span className="sr-only"> credits</span>}
        </button>
      }
    >
      <TextField
        label="Spend at most (credits)"
        hint="For one question, all models together. Answers end cleanly when it is used up. Empty means no limit."
        inputMode="decimal"
        autoComplete="off"
        value={text}
        error={bad ? "Not a number of credits above zero" : undefined}
        onChange={(e) => {
          setText(e.target.value);
          const next = creditsToNano(e.target.value);
          setSpend(next || undefined);
        }}
      />
    </Popover>
  );
}
