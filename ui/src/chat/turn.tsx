import { memo, useState } from "react";
import { useShallow } from "zustand/react/shallow";
import type { Run } from "../api/types";
import { CopyButton } from "../ui/bits";
import { cx } from "../ui/cx";
import { retryAnswer, selectAnswers } from "./actions";
import { AnswerColumn, isLive, type Slot } from "./answer-column";
import { strand } from "./models";
import { useRuns } from "./run-store";

/** A question with its answers; a retried answer takes the place of the one it repeats. */
export function slotsOf(run: Run, retries: Run[]): Slot[] {
  const slots: Slot[] = run.answers.map((answer) => ({ answer, run }));
  for (const retry of retries) {
    const at = slots.findIndex((s) => s.answer.id === retry.retry_of);
    const answer = retry.answers[0];
    if (at >= 0 && answer) slots[at] = { answer, run: retry };
  }
  return slots;
}

export const Prompt = memo(function Prompt({ text, images }: { text: string; images?: string[] | null }) {
  const [open, setOpen] = useState(false);
  const long = text.length > 900;
  return (
    <div className="group flex flex-col items-end gap-1.5">
      {!!images?.length && (
        <div className="flex flex-wrap justify-end gap-2">
          {images.map((src, i) => (
            <img key={i} src={src} alt={`Attached image ${i + 1}`} className="h-24 rounded-xl border border-line object-cover" />
          ))}
        </div>
      )}
      <div className="flex w-full items-end justify-end gap-1">
      <div className="pb-1 opacity-0 transition group-focus-within:opacity-100 group-hover:opacity-100 touch:hidden">
        <CopyButton text={text} label="Copy question" />
      </div>
      <div className="max-w-[min(44rem,92%)] rounded-2xl rounded-br-md bg-panel px-4 py-2.5 [overflow-wrap:anywhere] whitespace-pre-wrap">
        {long && !open ? text.slice(0, 900) + "…" : text}
        {long && (
          <button type="button" onClick={() => setOpen(!open)} className="mt-1 block text-[13px] font-medium text-accent underline underline-offset-2">
            {open ? "Show less" : "Show all"}
          </button>
        )}
      </div>
      </div>
    </div>
  );
});

interface Props {
  id: string;
  retries: string[];
  phone: boolean;
  onSwitch: (slot: Slot) => void;
}

export const Turn = memo(function Turn({ id, retries, phone, onSwitch }: Props) {
  const run = useRuns((s) => s.runs[id]);
  const again = useRuns(useShallow((s) => retries.flatMap((r) => s.runs[r] ?? [])));
  const [shown, setShown] = useState<number>();
  if (!run) return null;

  const slots = slotsOf(run, again);
  const many = slots.length > 1;
  const single = phone && many ? (shown ?? 0) : shown;
  const visible = many && single !== undefined ? [Math.min(single, slots.length - 1)] : slots.map((_, i) => i);
  const chosen = new Set([...(run.selected ?? []), ...again.flatMap((r) => r.selected ?? [])]);

  const toggle = ({ answer, run: owner }: Slot) => {
    const own = owner.selected ?? [];
    const next = own.includes(answer.id) ? own.filter((a) => a !== answer.id) : [...own, answer.id];
    void selectAnswers(owner, next);
    for (const other of [run, ...again]) {
      if (other.id !== owner.id && other.selected?.length) void selectAnswers(other, []);
    }
  };

  return (
    <article aria-label={`Question: ${run.prompt.slice(0, 80)}`} className="flex flex-col gap-3">
      <div className={cx("mx-auto w-full", many ? "max-w-[80rem]" : "max-w-[52rem]")}>
        <Prompt text={run.prompt} images={run.images} />
      </div>
      {many && single !== undefined && (
        <div role="group" aria-label="Answers" className="mx-auto flex w-full max-w-[80rem] gap-1.5 overflow-x-auto p-0.5">
          {slots.map(({ answer }, i) => (
            <button
              key={answer.id}
              type="button"
              aria-pressed={i === single}
              onClick={() => setShown(i)}
              className={cx(
                "flex h-9 shrink-0 items-center gap-2 rounded-full border px-3 text-[13px] font-medium touch:h-11",
                i === single ? "border-text bg-surface text-text" : "border-line text-muted hover:bg-hover",
              )}
            >
              <span className={cx("size-2 rounded-full", isLive(answer) && "animate-pulse")} style={{ background: strand(i) }} />
              {answer.model_name}
              {answer.state === "failed" && <span className="text-danger">failed</span>}
            </button>
          ))}
        </div>
      )}
      <div
        className={cx(
          "mx-auto w-full",
          visible.length > 1
            ? "relative grid snap-x scroll-px-1 auto-cols-[minmax(min(19.5rem,86vw),1fr)] grid-flow-col gap-3 overflow-x-auto px-px pt-1 pb-2 [&>*]:snap-start"
            : many ? "max-w-[56rem]" : "max-w-[52rem]",
        )}
        {...(visible.length > 1 ? { role: "group", "aria-label": "Answers side by side", tabIndex: 0 } : {})}
      >
        {visible.map((i) => {
          const slot = slots[i]!;
          return (
            <AnswerColumn
              key={slot.answer.id}
              {...slot}
              index={i}
              total={slots.length}
              boxed={visible.length > 1}
              maximised={shown !== undefined}
              selected={chosen.has(slot.answer.id)}
              onMaximise={many && !phone ? () => setShown(shown === undefined ? i : undefined) : undefined}
              onSelect={many && slot.answer.state !== "failed" ? () => toggle(slot) : undefined}
              onRetry={() => void retryAnswer(slot.run, slot.answer.id)}
              onSwitch={onSwitch}
            />
          );
        })}
      </div>
    </article>
  );
});
