import { Activity, BookCheck, Boxes, ChartColumn, ClipboardList, Gauge, History, Plug, SlidersHorizontal, Users } from "lucide-react";
import { lazy, Suspense, useEffect } from "react";
import { Navigate, NavLink, Route, Routes, useLocation } from "react-router";
import { ShellHeader } from "../app/shell";
import { SkeletonRows } from "../ui/bits";
import { AlertBanner } from "./alert-banner";

const pages = [
  { path: "models", name: "Models & prices", icon: Boxes, page: lazy(() => import("./models")) },
  { path: "providers", name: "Providers", icon: Plug, page: lazy(() => import("./providers")) },
  { path: "users", name: "Users & credits", icon: Users, page: lazy(() => import("./users")) },
  { path: "plans", name: "Plans", icon: Gauge, page: lazy(() => import("./plans")) },
  { path: "settings", name: "Settings", icon: SlidersHorizontal, page: lazy(() => import("./settings")) },
  { path: "usage", name: "Usage", icon: ChartColumn, page: lazy(() => import("./usage")) },
  { path: "ledger", name: "Ledger", icon: BookCheck, page: lazy(() => import("./ledger")) },
  { path: "revisions", name: "Revisions", icon: History, page: lazy(() => import("./revisions")) },
  { path: "audit", name: "Audit", icon: ClipboardList, page: lazy(() => import("./audit")) },
  { path: "instances", name: "Instances", icon: Activity, page: lazy(() => import("./instances")) },
];

export default function Admin() {
  const { pathname } = useLocation();
  const current = pages.find((p) => pathname.startsWith(`/admin/${p.path}`));
  useEffect(() => {
    document.title = `${current?.name ?? "Admin"} · OneMind`;
  }, [current]);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <ShellHeader>
        <p className="px-2 text-sm font-semibold">Admin</p>
      </ShellHeader>
      <AlertBanner />
      <div className="flex min-h-0 flex-1 max-lg:flex-col">
        <nav aria-label="Admin pages" className="shrink-0 overflow-x-auto px-3 pb-2 lg:w-52 lg:overflow-y-auto">
          <ul className="flex gap-1 lg:flex-col">
            {pages.map(({ path, name, icon: Icon }) => (
              <li key={path}>
                <NavLink
                  to={`/admin/${path}`}
                  className="flex h-9 items-center gap-2.5 rounded-lg px-3 text-sm whitespace-nowrap text-soft transition hover:bg-hover hover:text-text aria-[current=page]:bg-hover aria-[current=page]:font-medium aria-[current=page]:text-text touch:h-11"
                >
                  <Icon className="size-4 text-muted" aria-hidden="true" />
                  {name}
                </NavLink>
              </li>
            ))}
          </ul>
        </nav>
        <div className="relative min-h-0 flex-1 overflow-y-auto px-4 pb-16 sm:px-6" tabIndex={0}>
          <div className="mx-auto max-w-6xl">
            <Suspense fallback={<SkeletonRows />}>
              <Routes>
                {pages.map(({ path, page: Page }) => (
                  <Route key={path} path={`${path}/*`} element={<Page />} />
                ))}
                <Route path="*" element={<Navigate to="/admin/models" replace />} />
              </Routes>
            </Suspense>
          </div>
        </div>
      </div>
    </div>
  );
}
