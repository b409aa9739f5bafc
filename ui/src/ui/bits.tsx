import { AlertTriangle, Check, Copy } from "lucide-react";
import { useState, type ReactNode } from "react";
import { asProblem } from "../api/client";
import { Button, IconButton } from "./button";
import { cx } from "./cx";
import { ago, fullTime } from "./format";

export function Skeleton({ className }: { className?: string }) {
  return <div className={cx("shimmer rounded-md", className)} aria-hidden="true" />;
}

export function SkeletonRows({ rows = 6, label = "Loading" }: { rows?: number; label?: string }) {
  return (
    <div role="status" aria-label={label} className="flex flex-col gap-3 py-2">
      {Array.from({ length: rows }, (_, i) => (
        <Skeleton key={i} className="h-9" />
      ))}
    </div>
  );
}

export function Empty({ title, children, icon }: { title: string; children?: ReactNode; icon?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-2 rounded-2xl border border-dashed border-line px-6 py-10 text-center">
      {icon && <div className="text-muted [&_svg]:size-6">{icon}</div>}
      <p className="font-medium">{title}</p>
      <div className="max-w-md text-sm text-muted">{children}</div>
    </div>
  );
}

export function ErrorBox({ error, onRetry, title }: { error: unknown; onRetry?: () => void; title?: string }) {
  const problem = asProblem(error);
  return (
    <div role="alert" className="flex items-start gap-3 rounded-xl border border-danger/40 bg-danger-soft p-3.5 text-sm">
      <AlertTriangle className="mt-0.5 size-4 shrink-0 text-danger" aria-hidden="true" />
      <div className="min-w-0 flex-1">
        <p className="font-medium text-danger">{title ?? problem.message}</p>
        {title && <p className="text-soft">{problem.message}</p>}
        {problem.requestId && <p className="mt-0.5 font-mono text-xs break-all text-soft">Request {problem.requestId}</p>}
      </div>
      {onRetry && (
        <Button size="sm" onClick={onRetry}>
          Try again
        </Button>
      )}
    </div>
  );
}

const tones = {
  neutral: "bg-hover text-soft",
  ok: "bg-ok-soft text-ok",
  warn: "bg-warn-soft text-warn",
  bad: "bg-danger-soft text-danger",
  accent: "bg-accent-soft text-accent",
};

export function Badge({ tone = "neutral", children }: { tone?: keyof typeof tones; children: ReactNode }) {
  return <span className={cx("inline-flex items-center rounded-md px-1.5 py-0.5 text-xs font-medium whitespace-nowrap", tones[tone])}>{children}</span>;
}

export function Time({ iso }: { iso: string | undefined }) {
  return (
    <time dateTime={iso} title={fullTime(iso)} className="whitespace-nowrap">
      {ago(iso)}
    </time>
  );
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain http has no clipboard API.
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    (document.activeElement?.closest("[role=dialog]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function CopyButton({ text, label = "Copy", showLabel }: { text: string | (() => string); label?: string; showLabel?: boolean }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    if (await copyText(typeof text === "string" ? text : text())) {
      setDone(true);
      setTimeout(() => setDone(false), 1600);
    }
  };
  const icon = done ? <Check className="size-4 text-ok" /> : <Copy className="size-4" />;
  if (showLabel) {
    return (
      <Button size="sm" onClick={copy}>
        {icon} {done ? "Copied" : label}
      </Button>
    );
  }
  return (
    <IconButton label={done ? "Copied" : label} onClick={copy}>
      {icon}
    </IconButton>
  );
}

export function Card({ title, description, actions, children, className }: { title?: string; description?: ReactNode; actions?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={cx("rounded-2xl border border-line bg-surface p-5", className)}>
      {(title || actions) && (
        <div className="mb-4 flex flex-wrap items-start justify-between gap-3">
          <div>
            {title && <h2 className="font-semibold">{title}</h2>}
            {description && <p className="mt-0.5 text-sm text-muted">{description}</p>}
          </div>
          {actions}
        </div>
      )}
      {children}
    </section>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return (
    <kbd className="rounded-md border border-line bg-panel px-1.5 py-0.5 font-sans text-xs text-soft">{children}</kbd>
  );
}
