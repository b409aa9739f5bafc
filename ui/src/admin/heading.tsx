import type { ReactNode } from "react";

export function Heading({ title, description, children }: { title: string; description: ReactNode; children?: ReactNode }) {
  return (
    <div className="flex flex-wrap items-end justify-between gap-3 pt-2 pb-5">
      <div className="min-w-0 flex-1 basis-72">
        <h1 className="text-xl font-semibold">{title}</h1>
        <p className="mt-0.5 max-w-xl text-sm text-muted">{description}</p>
      </div>
      {children && <div className="flex flex-wrap items-center gap-2">{children}</div>}
    </div>
  );
}
