import { useEffect, useRef, useState } from "react";
import { Reporter } from "./progress";
import { useRuns } from "./run-store";

const sentences = (said: string[]) => said.map((text) => (text.endsWith(".") ? text : `${text}.`)).join(" ");

/** Tells screen readers how answers fare and when they are done; never the words as they come. */
export function Announcer({ runs }: { runs: string[] }) {
  const all = useRuns((s) => s.runs);
  const reporters = useRef(new Map<string, Reporter>());
  const [polite, setPolite] = useState("");
  const [urgent, setUrgent] = useState("");

  useEffect(() => {
    const news = runs.flatMap((id) => {
      const run = all[id];
      if (!run) return [];
      let reporter = reporters.current.get(id);
      if (!reporter) reporters.current.set(id, (reporter = new Reporter()));
      return reporter.report(run.answers, performance.now());
    });
    const calm = sentences(news.flatMap((n) => n.polite));
    const loud = sentences(news.flatMap((n) => n.urgent));
    if (calm) setPolite(calm);
    if (loud) setUrgent(loud);
  }, [all, runs]);

  return (
    <>
      <div role="status" className="sr-only">{polite}</div>
      <div role="alert" className="sr-only">{urgent}</div>
    </>
  );
}
