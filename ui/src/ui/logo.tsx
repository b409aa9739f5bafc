import { cx } from "./cx";

/** Several strands that become one. */
export function Mark({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" fill="none" aria-hidden="true" className={cx("size-8", className)}>
      <g strokeWidth="3" strokeLinecap="round">
        <path d="M3 6c9 0 8 10 17 10" stroke="var(--s1)" />
        <path d="M3 16h17" stroke="var(--s2)" />
        <path d="M3 26c9 0 8-10 17-10" stroke="var(--s3)" />
      </g>
      <circle cx="24" cy="16" r="5" fill="var(--ink)" />
    </svg>
  );
}

export function Wordmark({ className }: { className?: string }) {
  return (
    <span className={cx("inline-flex items-center gap-2 text-[1.05rem] font-semibold tracking-tight", className)}>
      <Mark className="size-6" />
      <span>
        One<span className="text-muted">Mind</span>
      </span>
    </span>
  );
}
