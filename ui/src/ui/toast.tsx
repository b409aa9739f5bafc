import { X } from "lucide-react";
import { create } from "zustand";
import { asProblem } from "../api/client";
import { IconButton } from "./button";
import { cx } from "./cx";

interface Toast {
  id: number;
  text: string;
  detail?: string;
  bad?: boolean;
  action?: { label: string; run: () => void };
}

const useToasts = create<{ list: Toast[] }>(() => ({ list: [] }));
let last = 0;

function dismiss(id: number) {
  useToasts.setState(({ list }) => ({ list: list.filter((t) => t.id !== id) }));
}

export function toast(text: string, options: Omit<Toast, "id" | "text"> = {}) {
  const id = ++last;
  useToasts.setState(({ list }) => ({ list: [...list.slice(-2), { id, text, ...options }] }));
  setTimeout(() => dismiss(id), options.bad || options.action ? 9000 : 4000);
}

export function toastProblem(error: unknown) {
  const problem = asProblem(error);
  toast(problem.message, { bad: true, detail: problem.requestId && `Request ${problem.requestId}` });
}

export function Toasts() {
  const list = useToasts((s) => s.list);
  const item = (t: Toast) => (
    <div
      key={t.id}
      className={cx(
        "pop pointer-events-auto flex w-full items-center gap-3 rounded-xl border bg-raised py-2 pr-2 pl-4 text-sm shadow-card",
        t.bad ? "border-danger/50" : "border-line",
      )}
    >
      <div className="min-w-0 flex-1">
        <p className={cx("font-medium", t.bad && "text-danger")}>{t.text}</p>
        {t.detail && <p className="truncate text-xs text-muted">{t.detail}</p>}
      </div>
      {t.action && (
        <button
          type="button"
          className="rounded-md px-2 py-1 font-medium text-accent hover:bg-hover"
          onClick={() => {
            t.action?.run();
            dismiss(t.id);
          }}
        >
          {t.action.label}
        </button>
      )}
      <IconButton label="Dismiss" onClick={() => dismiss(t.id)}>
        <X />
      </IconButton>
    </div>
  );
  return (
    <div className="pointer-events-none fixed inset-x-3 bottom-4 z-[60] mx-auto flex max-w-md flex-col items-center gap-2">
      <div role="status" className="flex w-full flex-col gap-2">{list.filter((t) => !t.bad).map(item)}</div>
      <div role="alert" className="flex w-full flex-col gap-2">{list.filter((t) => t.bad).map(item)}</div>
    </div>
  );
}
