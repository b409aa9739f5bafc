import type { ComponentProps, ReactNode } from "react";
import { cx } from "./cx";

type Variant = "primary" | "secondary" | "ghost" | "danger";

const looks: Record<Variant, string> = {
  primary: "bg-ink text-on-ink hover:opacity-88",
  secondary: "border border-line bg-surface text-text hover:bg-hover",
  ghost: "text-soft hover:bg-hover hover:text-text",
  danger: "border border-danger/40 bg-danger-soft text-danger hover:border-danger",
};

interface Props extends ComponentProps<"button"> {
  variant?: Variant;
  size?: "sm" | "md";
  busy?: boolean;
}

export function Button({ variant = "secondary", size = "md", busy, className, children, disabled, type, ...rest }: Props) {
  return (
    <button
      type={type ?? "button"}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      className={cx(
        "inline-flex shrink-0 items-center justify-center gap-2 rounded-lg font-medium whitespace-nowrap transition disabled:cursor-not-allowed disabled:opacity-50 touch:min-h-11",
        size === "sm" ? "h-8 px-2.5 text-[13px]" : "h-10 px-4 text-sm",
        looks[variant],
        className,
      )}
      {...rest}
    >
      {children}
    </button>
  );
}

interface IconProps extends Omit<ComponentProps<"button">, "aria-label"> {
  label: string;
  children: ReactNode;
  active?: boolean;
}

/** A button that shows only an icon; the label is read out and shown on hover. */
export function IconButton({ label, className, children, active, ...rest }: IconProps) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={cx(
        "inline-flex size-8 shrink-0 items-center justify-center rounded-lg transition hover:bg-hover hover:text-text disabled:cursor-not-allowed disabled:opacity-40 touch:size-11 [&_svg]:size-4",
        active ? "text-accent" : "text-muted",
        className,
      )}
      {...rest}
    >
      {children}
    </button>
  );
}
