import { Menu as MenuIcon, PanelLeft } from "lucide-react";
import { lazy, Suspense, useEffect, useState, type ReactNode } from "react";
import { Outlet, useLocation } from "react-router";
import { create } from "zustand";
import { IconButton } from "../ui/button";
import { cx } from "../ui/cx";
import { Dialog } from "../ui/dialog";
import { Toasts } from "../ui/toast";
import { useMedia } from "../ui/use-media";
import { BalancePill } from "./balance";
import { Boundary } from "./boundary";
import { live, useOnline } from "./live";
import { Sidebar } from "./sidebar";

const Palette = lazy(() => import("./palette"));
const Shortcuts = lazy(() => import("./shortcuts-dialog"));

type Overlay = "palette" | "shortcuts" | "sidebar" | undefined;

interface Ui {
  overlay: Overlay;
  collapsed: boolean;
}

const useUi = create<Ui>(() => ({ overlay: undefined, collapsed: readCollapsed() }));

function readCollapsed() {
  try {
    return localStorage.getItem("om.sidebar") === "closed";
  } catch {
    return false;
  }
}

export const openOverlay = (overlay: Overlay) => useUi.setState({ overlay });

function setCollapsed(collapsed: boolean) {
  useUi.setState({ collapsed });
  try {
    localStorage.setItem("om.sidebar", collapsed ? "closed" : "open");
  } catch {
    // Not kept then.
  }
}

const typing = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** The bar above every page: a way to the sidebar, what the page puts there, the balance. */
export function ShellHeader({ children }: { children?: ReactNode }) {
  const collapsed = useUi((s) => s.collapsed);
  return (
    <header className="flex h-14 shrink-0 items-center gap-1.5 px-2 sm:px-3">
      <IconButton label="Open the sidebar" className="md:hidden" onClick={() => openOverlay("sidebar")}>
        <MenuIcon className="!size-5" />
      </IconButton>
      {collapsed && (
        <IconButton label="Show the sidebar" className="max-md:hidden" onClick={() => setCollapsed(false)}>
          <PanelLeft />
        </IconButton>
      )}
      <div className="flex min-w-0 flex-1 items-center">{children}</div>
      <BalancePill />
    </header>
  );
}

/** A page that scrolls under the bar. */
export function Page({ title, description, actions, wide, children }: { title: string; description?: ReactNode; actions?: ReactNode; wide?: boolean; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · OneMind`;
  }, [title]);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <ShellHeader />
      <div className="relative min-h-0 flex-1 overflow-y-auto px-4 pb-16 sm:px-6" tabIndex={0}>
        <div className={cx("mx-auto w-full", wide ? "max-w-6xl" : "max-w-3xl")}>
          <div className="flex flex-wrap items-end justify-between gap-3 pt-2 pb-6">
            <div className="min-w-0">
              <h1 className="text-2xl font-semibold">{title}</h1>
              {description && <p className="mt-1 text-muted">{description}</p>}
            </div>
            {actions && <div className="flex flex-wrap gap-2">{actions}</div>}
          </div>
          {children}
        </div>
      </div>
    </div>
  );
}

export function Shell() {
  const { overlay, collapsed } = useUi();
  const { pathname } = useLocation();
  const phone = useMedia("(max-width: 767px)");
  const online = useOnline((s) => s.online);
  const [lost, setLost] = useState(false);

  useEffect(() => {
    live.start();
    return () => live.stop();
  }, []);

  useEffect(() => {
    if (online) {
      setLost(false);
      return;
    }
    const timer = setTimeout(() => setLost(true), 2500);
    return () => clearTimeout(timer);
  }, [online]);

  useEffect(() => openOverlay(undefined), [pathname]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        openOverlay("palette");
      } else if (event.key === "?" && !typing(event.target) && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        openOverlay("shortcuts");
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const close = () => openOverlay(undefined);
  return (
    <div className="relative flex h-dvh overflow-hidden">
      <a href="#main" className="sr-only z-50 rounded-lg bg-ink px-4 py-2 text-on-ink focus:not-sr-only focus:fixed focus:top-2 focus:left-2">
        Skip to the page
      </a>
      {!phone && !collapsed && (
        <aside aria-label="Conversations and pages" className="w-[17.5rem] shrink-0 border-r border-line bg-panel">
          <Sidebar onCollapse={() => setCollapsed(true)} />
        </aside>
      )}
      {phone && (
        <Dialog open={overlay === "sidebar"} onClose={close} title="Conversations and pages" side="left" hideTitle>
          <Sidebar onCollapse={close} />
        </Dialog>
      )}
      <main id="main" tabIndex={-1} className="flex min-w-0 flex-1 flex-col outline-none">
        {lost && (
          <p role="status" className="bg-warn-soft px-4 py-1.5 text-center text-[13px] text-warn">
            The connection was lost. Answers go on being written; they appear here as soon as it is back.
          </p>
        )}
        <div className="min-h-0 flex-1">
          <Boundary at={pathname}>
            <Suspense fallback={null}>
              <Outlet />
            </Suspense>
          </Boundary>
        </div>
      </main>
      <Suspense fallback={null}>
        {overlay === "palette" && <Palette onClose={close} />}
        {overlay === "shortcuts" && <Shortcuts onClose={close} />}
      </Suspense>
      <Toasts />
    </div>
  );
}
