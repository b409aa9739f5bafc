import { Repeat2, RotateCcw, TriangleAlert } from "lucide-react";
import { useEffect, useState } from "react";
import type { Answer, Run } from "../api/types";
import { CopyButton } from "../ui/bits";
import { Button } from "../ui/button";

const advice: Record<string, string> = {
  rate_limited: "Too many questions at once. Wait a moment, then try again.",
  credit_short: "Your credits do not cover this answer. Ask an administrator for more, or choose a cheaper model.",
  context_length: "The conversation is too long for this model. Start a new chat or choose one with a larger window.",
  content_filter: "The provider refused this request. Wording it differently may help.",
  max_cost_too_low: "Raise the limit under Options below the question, or shorten the question.",
  context_length_exceeded: "The conversation is too long for this model. Start a new chat or choose one with a larger window.",
  content_refused: "The provider refused this request. Wording it differently may help.",
  provider_rate_limited: "The provider takes no more requests right now. Wait a moment, then try again.",
  provider_key_refused: "An administrator has been told. Ask another model meanwhile.",
  provider_quota: "An administrator has been told. Ask another model meanwhile.",
  provider_unknown_model: "An administrator has been told. Ask another model meanwhile.",
  provider_wrong_address: "An administrator has been told. Ask another model meanwhile.",
  queue_full: "Too many requests wait for this provider. Wait a moment, then try again, or ask another model.",
  queue_timeout: "There was no free place in time. Wait a moment, then try again, or ask another model.",
  needs_key: "This provider has no key yet. An administrator can add one.",
  auth: "The provider refused OneMind's key. An administrator has to look at it.",
};

function useCountdown(seconds: number | undefined): number {
  const [left, setLeft] = useState(seconds ?? 0);
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return left;
}

interface Props {
  answer: Answer;
  run: Run;
  onRetry: () => void;
  onSwitch: () => void;
}

/** What happened, and what can be done about it. */
export function AnswerError({ answer, run, onRetry, onSwitch }: Props) {
  const error = answer.error ?? { code: "unknown", message: "This answer failed." };
  const wait = useCountdown(error.retry_after);
  const retryable = error.retryable !== false;
  const details = () =>
    [`OneMind answer failed`, `model: ${answer.model}`, `code: ${error.code}`, `message: ${error.message}`, `answer: ${answer.id}`, `run: ${run.id}`, `time: ${new Date().toISOString()}`].join("\n");
  return (
    <div className="rounded-xl border border-danger/40 bg-danger-soft p-3.5">
      <p className="flex items-start gap-2 font-medium text-danger">
        <TriangleAlert className="mt-0.5 size-4 shrink-0" aria-hidden="true" />
        {error.message || "This answer failed."}
      </p>
      <p className="mt-1 text-[13px] text-soft">
        {advice[error.code] ?? (retryable ? "This often passes. Try again, or ask another model." : "Trying again will not help here. Ask another model.")}
        {!answer.charge_nano_usd && " You were not charged."}
      </p>
      <div className="mt-3 flex flex-wrap items-center gap-2">
        {retryable && (
          <Button size="sm" onClick={onRetry} disabled={wait > 0}>
            <RotateCcw className="size-3.5" /> {wait > 0 ? `Retry in ${wait} s` : "Retry"}
          </Button>
        )}
        <Button size="sm" onClick={onSwitch}>
          <Repeat2 className="size-3.5" /> Switch model
        </Button>
        <CopyButton text={details} label="Copy details" showLabel />
      </div>
    </div>
  );
}
