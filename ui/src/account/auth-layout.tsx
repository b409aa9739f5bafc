import { useEffect, type ReactNode } from "react";
import { Mark, Wordmark } from "../ui/logo";

/** The frame of the pages before signing in. */
export function AuthLayout({ title, description, children, foot }: { title: string; description?: ReactNode; children: ReactNode; foot?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · OneMind`;
  }, [title]);
  return (
    <div className="grid min-h-dvh lg:grid-cols-[1fr_1.1fr]">
      <main className="flex flex-col px-6 py-6 sm:px-10">
        <Wordmark />
        <div className="mx-auto flex w-full max-w-sm flex-1 flex-col justify-center py-10">
          <h1 className="text-2xl font-semibold">{title}</h1>
          {description && <p className="mt-1.5 text-muted">{description}</p>}
          <div className="mt-7">{children}</div>
          {foot && <p className="mt-6 text-sm text-muted">{foot}</p>}
        </div>
      </main>
      <aside aria-label="About OneMind" className="hidden flex-col items-center justify-center gap-8 border-l border-line bg-panel p-12 lg:flex">
        <Mark className="size-40" />
        <div className="max-w-sm text-center">
          <p className="text-xl font-semibold tracking-tight">Many models, one question.</p>
          <p className="mt-2 text-muted">Watch the answers side by side, see what each one costs, and build on the parts you like.</p>
        </div>
      </aside>
    </div>
  );
}
