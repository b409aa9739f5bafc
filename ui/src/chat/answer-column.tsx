import { ArrowDown, Check, Maximize2, Minimize2, ReceiptText, Repeat2, RotateCcw, Square } from "lucide-react";
import { lazy, memo, Suspense, useRef, useState } from "react";
import type { Answer, Run } from "../api/types";
import { Badge, CopyButton } from "../ui/bits";
import { IconButton } from "../ui/button";
import { cx } from "../ui/cx";
import { duration, tokens } from "../ui/format";
import { credits } from "../ui/money";
import { AnswerError } from "./answer-error";
import { Markdown } from "./markdown/markdown";
import { strand } from "./models";
import { progressOf, substitutionOf } from "./progress";
import { stopRun } from "./actions";
import { useStick } from "./use-stick";

const ReceiptDialog = lazy(() => import("./receipt"));

export interface Slot {
  answer: Answer;
  run: Run;
}

interface Props extends Slot {
  index: number;
  total: number;
  /** A column beside others scrolls by itself; a single answer grows with the page. */
  boxed: boolean;
  maximised: boolean;
  selected: boolean;
  onMaximise?: () => void;
  onSelect?: () => void;
  onRetry: (slot: Slot) => void;
  onSwitch: (slot: Slot) => void;
}

const words: Record<Answer["state"], string> = {
  waiting: "waiting",
  streaming: "writing",
  finished: "finished",
  stopped: "stopped",
  failed: "failed",
};

export const isLive = (answer: Answer) => answer.state === "waiting" || answer.state === "streaming";

function Footer({ answer, selected, onSelect, onRetry }: { answer: Answer; selected: boolean; onSelect?: () => void; onRetry: () => void }) {
  const usage = answer.usage;
  const receiptId = answer.receipt_id;
  const [open, setOpen] = useState(false);
  return (
    <div className="@container flex min-h-10 items-center gap-x-0.5 text-[13px] text-muted">
      {answer.charge_nano_usd !== undefined && (
        <button
          type="button"
          aria-haspopup="dialog"
          disabled={!receiptId}
          onClick={() => setOpen(true)}
          className="flex h-8 min-w-0 items-center gap-1.5 rounded-lg px-2 whitespace-nowrap tabular-nums hover:bg-hover hover:text-text touch:h-11"
        >
          <ReceiptText className="hidden size-3.5 shrink-0 @[21rem]:block" aria-hidden="true" />
          <span className="sr-only">Receipt of {answer.model_name}: </span>
          {answer.receipt?.cached ? "Cached, free" : `${credits(answer.charge_nano_usd)} credits`}
          {usage && <span className="hidden @[19rem]:inline">· {tokens(usage.input_tokens + usage.output_tokens)} tokens</span>}
          {!!answer.total_ms && <span className="hidden @[26rem]:inline">· {duration(answer.total_ms)}</span>}
        </button>
      )}
      {open && receiptId && (
        <Suspense fallback={null}>
          <ReceiptDialog id={receiptId} known={answer.receipt} name={answer.model_name} servedBy={answer.served_by_name} onClose={() => setOpen(false)} />
        </Suspense>
      )}
      <span className="flex-1" />
      {answer.text && <CopyButton text={answer.text} label="Copy answer" />}
      {answer.state !== "failed" && (
        <IconButton label="Ask again" onClick={onRetry}>
          <RotateCcw />
        </IconButton>
      )}
      {onSelect && answer.text && (
        <button
          type="button"
          aria-pressed={selected}
          onClick={onSelect}
          title="The next turn of every model builds on the answers you choose"
          className={cx(
            "flex h-8 shrink-0 items-center gap-1.5 rounded-lg border px-2 font-medium touch:h-11",
            selected ? "border-accent bg-accent-soft text-accent" : "border-line text-soft hover:bg-hover hover:text-text",
          )}
        >
          {selected && <Check className="size-3.5" aria-hidden="true" />}
          {selected ? "Chosen" : "Choose"}
        </button>
      )}
    </div>
  );
}

export const AnswerColumn = memo(function AnswerColumn(props: Props) {
  const { answer, run, index, total, boxed, maximised, selected } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const going = isLive(answer);
  const { away, jump } = useStick(scroller, content, boxed, going);
  const label = `Answer ${index + 1} of ${total}, ${answer.model_name}, ${words[answer.state]}`;
  const progress = going ? progressOf(answer) : "";
  const other = substitutionOf(answer);
  const cut = answer.finish_reason === "length";

  return (
    <section
      aria-label={label}
      tabIndex={-1}
      data-answer={index + 1}
      className={cx(
        "relative flex min-w-0 flex-col rounded-2xl border bg-surface",
        selected ? "border-accent" : "border-line",
        boxed && "max-h-[max(20rem,calc(100dvh-18.5rem))]",
      )}
    >
      <span className="absolute inset-x-5 -top-px h-[3px] rounded-b-full" style={{ background: strand(index) }} aria-hidden="true" />
      <header className="flex h-12 shrink-0 items-center gap-2 pr-2 pl-4">
        <div className="min-w-0">
          <h2 className="truncate text-sm leading-tight font-semibold">{answer.model_name}</h2>
          {progress && <p className="mt-0.5 truncate text-xs leading-tight text-muted tabular-nums" title={progress}>{progress}</p>}
        </div>
        {answer.state === "stopped" && <Badge tone="warn">stopped</Badge>}
        {answer.state === "failed" && <Badge tone="bad">failed</Badge>}
        {run.retry_of && answer.state === "finished" && <Badge>asked again</Badge>}
        <span className="flex-1" />
        {going && (
          <IconButton label={`Stop ${answer.model_name}`} onClick={() => void stopRun(run.id, answer.id)}>
            <Square className="fill-current !size-3.5" />
          </IconButton>
        )}
        {props.onMaximise && (
          <IconButton label={maximised ? "Show side by side" : `Maximise ${answer.model_name}`} onClick={props.onMaximise}>
            {maximised ? <Minimize2 /> : <Maximize2 />}
          </IconButton>
        )}
      </header>
      {other && (
        <div role="note" aria-label="Substitution" className="mx-4 mb-2 shrink-0 rounded-lg bg-accent-soft px-3 py-2 text-[13px] text-text">
          <p className="flex items-start gap-1.5 font-medium text-accent">
            <Repeat2 className="mt-0.5 size-3.5 shrink-0" aria-hidden="true" />
            {other.title}
          </p>
          <p>{other.reason} You pay the cheaper of the two prices.</p>
        </div>
      )}
      <div
        ref={scroller}
        className={cx("min-h-0 flex-1 px-4 pb-3", boxed && "overflow-y-auto overscroll-auto")}
        {...(boxed ? { tabIndex: 0, role: "group", "aria-label": `${answer.model_name}: text` } : {})}
      >
        <div ref={content}>
          {answer.reasoning && (
            <details className="mb-3 rounded-xl bg-panel px-3 py-2 text-[13px] text-soft">
              <summary className="font-medium">{going && !answer.text ? "Thinking…" : "How it thought"}</summary>
              <div className="mt-2 whitespace-pre-wrap">{answer.reasoning}</div>
            </details>
          )}
          {answer.text ? (
            <Markdown text={answer.text} live={going} />
          ) : going ? (
            <p className="thinking py-1 text-muted" aria-label="Waiting for the first word">
              <span>●</span> <span>●</span> <span>●</span>
            </p>
          ) : (
            answer.state !== "failed" && <p className="text-sm text-muted">No text came back.</p>
          )}
          {cut && (
            <p className="mt-3 rounded-lg bg-warn-soft px-3 py-2 text-[13px] text-warn">
              This answer reached its length or credit limit and ends here. Ask it to continue.
            </p>
          )}
          {answer.state === "failed" && (
            <div className={answer.text ? "mt-3" : ""}>
              <AnswerError answer={answer} run={run} onRetry={() => props.onRetry(props)} onSwitch={() => props.onSwitch(props)} />
            </div>
          )}
        </div>
      </div>
      {away && (
        <button
          type="button"
          onClick={jump}
          className="absolute bottom-3 left-1/2 flex h-8 -translate-x-1/2 items-center gap-1.5 rounded-full border border-line bg-raised px-3 text-[13px] font-medium shadow-card"
        >
          <ArrowDown className="size-3.5" /> Latest
        </button>
      )}
      {!going && (answer.charge_nano_usd !== undefined || answer.text) && (
        <footer className="shrink-0 border-t border-line px-2 py-0.5">
          <Footer answer={answer} selected={selected} onSelect={props.onSelect} onRetry={() => props.onRetry(props)} />
        </footer>
      )}
    </section>
  );
});

