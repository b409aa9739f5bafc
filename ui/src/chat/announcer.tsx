import { useEffect, useRef, useState } from "react";
import { isLive } from "./answer-column";
import { useRuns } from "./run-store";

/** Tells screen readers when an answer is done; never the words as they come. */
export function Announcer({ runs }: { runs: string[] }) {
  const all = useRuns((s) => s.runs);
  const live = useRef(new Set<string>());
  const [polite, setPolite] = useState("");
  const [urgent, setUrgent] = useState("");

  useEffect(() => {
    for (const id of runs) {
      const run = all[id];
      if (!run) continue;
      const done = run.answers.filter((a) => !isLive(a)).length;
      for (const answer of run.answers) {
        if (isLive(answer)) {
          live.current.add(answer.id);
        } else if (live.current.delete(answer.id)) {
          const place = `${done} of ${run.answers.length}`;
          if (answer.state === "failed") setUrgent(`${answer.model_name} failed: ${answer.error?.message ?? "no reason given"}`);
          else setPolite(`${answer.model_name} ${answer.state}, ${place}`);
        }
      }
    }
  }, [all, runs]);

  return (
    <>
      <div role="status" className="sr-only">{polite}</div>
      <div role="alert" className="sr-only">{urgent}</div>
    </>
  );
}
