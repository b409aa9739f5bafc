import { create } from "zustand";
import type { Answer, Balance, Run, RunEvent } from "../api/types";
import { applyEvents } from "./reducer";

interface RunState {
  runs: Record<string, Run>;
}

/** Runs as they are being written. Finished ones stay until the page goes away. */
export const useRuns = create<RunState>(() => ({ runs: {} }));

export const useBalance = create<{ balance?: Balance }>(() => ({}));

/** Why another model answers comes by event; a newer copy of the run does not say it again. */
function keepReason(answer: Answer, known: Run): Answer {
  const code = answer.served_by && known.answers.find((a) => a.id === answer.id && a.served_by === answer.served_by)?.substitute_code;
  return code && !answer.substitute_code ? { ...answer, substitute_code: code } : answer;
}

/** Takes a run as the server has it, unless we already know more. */
export function putRun(run: Run) {
  useRuns.setState(({ runs }) => {
    const known = runs[run.id];
    if (known && known.seq > run.seq) return { runs: { ...runs, [run.id]: { ...known, selected: run.selected } } };
    return { runs: { ...runs, [run.id]: known ? { ...run, answers: run.answers.map((a) => keepReason(a, known)) } : run } };
  });
}

export function lastSeq(id: string): number {
  return useRuns.getState().runs[id]?.seq ?? 0;
}

const frame = 50;
let queue = new Map<string, RunEvent[]>();
let scheduled = false;
let lastFlush = 0;
let onGap: (run: string) => void = () => {};

export function setGapHandler(handler: (run: string) => void) {
  onGap = handler;
}

/** Collects events and applies them together, at most twenty times a second. */
export function pushEvent(event: RunEvent) {
  const list = queue.get(event.run);
  if (list) list.push(event);
  else queue.set(event.run, [event]);
  if (scheduled) return;
  scheduled = true;
  const wait = Math.max(0, lastFlush + frame - performance.now());
  setTimeout(() => {
    if (document.visibilityState === "visible") requestAnimationFrame(flush);
    else flush();
  }, document.visibilityState === "visible" ? wait : 250);
}

export function flush() {
  scheduled = false;
  lastFlush = performance.now();
  const batch = queue;
  queue = new Map();
  const { runs } = useRuns.getState();
  const next = { ...runs };
  const gaps: string[] = [];
  for (const [id, events] of batch) {
    const run = runs[id];
    if (!run) continue;
    const applied = applyEvents(run, events);
    next[id] = applied.run;
    if (applied.gap) gaps.push(id);
  }
  useRuns.setState({ runs: next });
  for (const id of gaps) onGap(id);
}
