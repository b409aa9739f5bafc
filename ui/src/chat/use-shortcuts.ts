import { useEffect } from "react";

const overlay = () => document.querySelector("[role=dialog], [role=menu]");

/** Keys of the chat page: Esc stops, F6 goes between question and answers, Alt+1..6 to a column. */
export function useShortcuts({ onStop }: { onStop?: () => void }) {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing || overlay()) return;
      if (event.key === "Escape" && onStop) {
        event.preventDefault();
        onStop();
      } else if (event.key === "F6") {
        event.preventDefault();
        const composer = document.getElementById("composer");
        const next = document.activeElement === composer ? document.getElementById("transcript") : composer;
        next?.focus();
      } else if (event.altKey && !event.ctrlKey && !event.metaKey && /^Digit[1-6]$/.test(event.code)) {
        const columns = document.querySelectorAll<HTMLElement>(`[data-answer="${event.code.slice(5)}"]`);
        const column = columns[columns.length - 1];
        if (column) {
          event.preventDefault();
          column.focus();
          column.scrollIntoView({ block: "nearest", inline: "center" });
        }
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [onStop]);
}
