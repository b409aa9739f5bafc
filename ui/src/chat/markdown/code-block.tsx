import { memo, useEffect, useState } from "react";
import { CopyButton } from "../../ui/bits";

const idle: (run: () => void) => number =
  typeof requestIdleCallback === "function" ? (run) => requestIdleCallback(run, { timeout: 600 }) : (run) => setTimeout(run, 60) as unknown as number;

export const CodeBlock = memo(function CodeBlock({ code, lang, done }: { code: string; lang: string; done: boolean }) {
  const [html, setHtml] = useState<string>();

  useEffect(() => {
    setHtml(undefined);
    if (!done || !lang || code.length > 60_000) return;
    let gone = false;
    idle(() => {
      void import("./highlight").then(({ highlight }) => {
        if (!gone) setHtml(highlight(code, lang));
      }, () => undefined);
    });
    return () => {
      gone = true;
    };
  }, [code, lang, done]);

  return (
    <div className="overflow-hidden rounded-xl border border-line bg-[var(--code-bg)]">
      <div className="flex h-9 items-center justify-between border-b border-line pr-1 pl-3.5 touch:h-11">
        <span className="font-mono text-xs text-muted">{lang || "text"}</span>
        <CopyButton text={code} label="Copy code" />
      </div>
      <pre tabIndex={0} aria-label={lang ? `${lang} code` : "Code"} role="group" className="overflow-x-auto p-3.5 font-mono text-[13px] leading-relaxed">
        {/* The highlighter escapes the code itself. */}
        {html === undefined ? <code>{code}</code> : <code dangerouslySetInnerHTML={{ __html: html }} />}
      </pre>
    </div>
  );
});
