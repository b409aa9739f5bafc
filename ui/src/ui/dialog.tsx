import { X } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { Button, IconButton } from "./button";
import { cx } from "./cx";

interface Props {
  open: boolean;
  onClose: () => void;
  title: string;
  description?: string;
  /** center: a card; right: a drawer for editing; left: the sidebar on phones; top: palette */
  side?: "center" | "right" | "left" | "top";
  wide?: boolean;
  /** Width of a card between the plain one and the wide one. */
  size?: "md" | "lg";
  hideTitle?: boolean;
  footer?: ReactNode;
  children: ReactNode;
}

const places = {
  center:
    "pop inset-x-3 top-[max(1rem,8dvh)] mx-auto max-h-[84dvh] rounded-2xl border border-line",
  top: "pop inset-x-3 top-[12dvh] mx-auto max-h-[70dvh] rounded-2xl border border-line",
  right: "slide-right inset-y-0 right-0 w-full border-l border-line sm:max-w-[34rem]",
  left: "slide-left inset-y-0 left-0 w-[min(20rem,88vw)] border-r border-line",
};

export function Dialog({ open, onClose, title, description, side = "center", wide, size = "md", hideTitle, footer, children }: Props) {
  const card = side === "center" || side === "top";
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-black/45" />
        <Radix.Content
          className={cx(
            "fixed z-50 flex flex-col bg-raised shadow-card outline-none",
            places[side],
            card && (wide ? "max-w-3xl" : size === "lg" ? "max-w-xl" : "max-w-md"),
            side === "top" && "max-w-xl",
            side === "left" && "bg-panel",
          )}
          {...(description ? {} : { "aria-describedby": undefined })}
        >
          <div className={hideTitle ? "sr-only" : "flex items-start justify-between gap-4 px-5 pt-4 pb-2"}>
            <div className="min-w-0">
              <Radix.Title className="text-base font-semibold">{title}</Radix.Title>
              {description && <Radix.Description className="mt-0.5 text-[13px] text-muted">{description}</Radix.Description>}
            </div>
            {!hideTitle && (
              <Radix.Close asChild>
                <IconButton label="Close" className="-mt-1 -mr-2">
                  <X />
                </IconButton>
              </Radix.Close>
            )}
          </div>
          <div className={cx("min-h-0 flex-1 overflow-y-auto", !hideTitle && "px-5 pt-1 pb-5")}>{children}</div>
          {footer && <div className="flex flex-wrap justify-end gap-2 border-t border-line px-5 py-3">{footer}</div>}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

interface ConfirmProps {
  open: boolean;
  onClose: () => void;
  onConfirm: () => void;
  title: string;
  text: ReactNode;
  action: string;
  busy?: boolean;
  danger?: boolean;
}

export function Confirm({ open, onClose, onConfirm, title, text, action, busy, danger = true }: ConfirmProps) {
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title={title}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button variant={danger ? "danger" : "primary"} busy={busy} onClick={onConfirm}>
            {action}
          </Button>
        </>
      }
    >
      <div className="text-sm text-soft">{text}</div>
    </Dialog>
  );
}
