import type { Answer } from "../api/types";
import { reasonOf } from "./faults";

/** "about 4 s", "about 2 min"; empty when nobody knows. */
export function about(ms: number | undefined): string {
  if (!ms || ms < 0) return "";
  if (ms < 90_000) return `about ${Math.max(1, Math.round(ms / 1000))} s`;
  return `about ${Math.round(ms / 60_000)} min`;
}

/** What an answer without words is doing, if it is more than waiting for the first one. */
export function progressOf(answer: Answer): string {
  const { queue, retrying } = answer;
  if (queue) return ["Waiting", `place ${queue.place}`, about(queue.estimate_ms)].filter(Boolean).join(", ");
  if (retrying && !answer.text) return "Trying again";
  return "";
}

export interface Substitution {
  by: string;
  /** "Answered by X instead of Y" */
  title: string;
  /** Why, in a sentence. */
  reason: string;
}

/** Who answered for another model, and why; undefined when the asked one did. */
export function substitutionOf(answer: Answer): Substitution | undefined {
  if (!answer.served_by || answer.served_by === answer.model) return undefined;
  const by = answer.served_by_name || answer.served_by;
  const asked = answer.receipt?.attempts?.filter((a) => a.model === answer.model && a.outcome !== "ok").at(-1);
  const reason = reasonOf(answer.substitute_code ?? asked?.outcome);
  return {
    by,
    title: `Answered by ${by} instead of ${answer.model_name}`,
    reason: `${answer.model_name} could not answer${reason && ` because ${reason}`}.`,
  };
}

interface Seen {
  place: number;
  attempt: number;
  servedBy?: string;
  spoken: number;
}

const pause = 8000;

/**
 * Decides what a screen reader is told about answers on their way: that one waits and, at most
 * every eight seconds, its new place; that it is tried again; that another model answers; and
 * how it ends. Never the words as they come.
 */
export class Reporter {
  private seen = new Map<string, Seen>();

  /** What is new since the last time. `now` is in milliseconds. */
  report(answers: Answer[], now: number): { polite: string[]; urgent: string[] } {
    const polite: string[] = [];
    const urgent: string[] = [];
    const going = (a: Answer) => a.state === "waiting" || a.state === "streaming";
    const done = answers.filter((a) => !going(a)).length;
    for (const answer of answers) {
      const seen = this.seen.get(answer.id);
      if (going(answer)) {
        polite.push(...this.underWay(answer, seen, now));
      } else if (seen) {
        this.seen.delete(answer.id);
        const other = substitutionOf(answer);
        if (other && other.by !== seen.servedBy) polite.push(`${other.title}. ${other.reason}`);
        if (answer.state === "failed") urgent.push(`${answer.model_name} failed: ${answer.error?.message ?? "no reason given"}`);
        else polite.push(`${answer.model_name} ${answer.state}, ${done} of ${answers.length}`);
      }
    }
    return { polite, urgent };
  }

  private underWay(answer: Answer, before: Seen | undefined, now: number): string[] {
    const seen = before ?? { place: 0, attempt: 0, spoken: -Infinity };
    this.seen.set(answer.id, seen);
    const said: string[] = [];
    const place = answer.queue?.place ?? 0;
    if (place !== seen.place && (place === 0 || now - seen.spoken >= pause)) {
      if (place > 0) {
        said.push(`${answer.model_name}: ${progressOf(answer).toLowerCase()}`);
        seen.spoken = now;
      }
      seen.place = place;
    }
    const attempt = answer.retrying?.attempt ?? 0;
    if (answer.retrying && attempt !== seen.attempt) said.push(`${answer.model_name}: trying again`);
    seen.attempt = attempt;
    const other = substitutionOf(answer);
    if (other && other.by !== seen.servedBy) said.push(`${other.title}. ${other.reason}`);
    seen.servedBy = other?.by;
    return said;
  }
}
