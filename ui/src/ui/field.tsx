import { useId, type ComponentProps, type ReactNode } from "react";
import { cx } from "./cx";

export const inputLook =
  "h-10 w-full rounded-lg border border-line-strong/60 bg-surface px-3 text-sm text-text placeholder:text-muted touch:h-11 touch:text-base disabled:opacity-60 aria-invalid:border-danger";

interface FieldProps {
  label: string;
  hint?: ReactNode;
  error?: string;
  className?: string;
  children: (props: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode;
}

export function Field({ label, hint, error, className, children }: FieldProps) {
  const id = useId();
  const described = error || hint ? `${id}-note` : undefined;
  return (
    <div className={cx("flex flex-col gap-1.5", className)}>
      <label htmlFor={id} className="text-sm font-medium">
        {label}
      </label>
      {children({ id, "aria-describedby": described, "aria-invalid": error ? true : undefined })}
      {described && (
        <p id={described} className={cx("text-[13px]", error ? "text-danger" : "text-muted")}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}

type TextProps = Omit<FieldProps, "children"> & ComponentProps<"input">;

export function TextField({ label, hint, error, className, ...input }: TextProps) {
  return (
    <Field label={label} hint={hint} error={error} className={className}>
      {(props) => <input className={inputLook} {...input} {...props} />}
    </Field>
  );
}

type SelectProps = Omit<FieldProps, "children"> & ComponentProps<"select">;

export function SelectField({ label, hint, error, className, children, ...select }: SelectProps) {
  return (
    <Field label={label} hint={hint} error={error} className={className}>
      {(props) => (
        <select className={inputLook} {...select} {...props}>
          {children}
        </select>
      )}
    </Field>
  );
}

interface SwitchProps {
  label: string;
  hint?: string;
  checked: boolean;
  disabled?: boolean;
  hideLabel?: boolean;
  onChange: (checked: boolean) => void;
}

export function Switch({ label, hint, checked, disabled, hideLabel, onChange }: SwitchProps) {
  const id = useId();
  return (
    <div className="flex items-start justify-between gap-4">
      {!hideLabel && (
        <div>
          <label htmlFor={id} className="text-sm font-medium">
            {label}
          </label>
          {hint && (
            <p id={`${id}-hint`} className="text-[13px] text-muted">
              {hint}
            </p>
          )}
        </div>
      )}
      <button
        id={id}
        type="button"
        role="switch"
        aria-checked={checked}
        aria-label={hideLabel ? label : undefined}
        aria-describedby={hint && !hideLabel ? `${id}-hint` : undefined}
        disabled={disabled}
        onClick={() => onChange(!checked)}
        className={cx(
          "relative mt-0.5 h-6 w-10 shrink-0 rounded-full border transition disabled:opacity-50",
          checked ? "border-accent bg-accent" : "border-line-strong bg-panel",
        )}
      >
        <span
          className={cx(
            "absolute top-[3px] size-4 rounded-full transition-all",
            checked ? "left-[20px] bg-surface" : "left-[3px] bg-line-strong",
          )}
        />
      </button>
    </div>
  );
}

export function SearchInput({ label, className, ...rest }: ComponentProps<"input"> & { label: string }) {
  return <input type="search" aria-label={label} placeholder={label} className={cx(inputLook, "h-9", className)} {...rest} />;
}
