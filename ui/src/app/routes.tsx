import { lazy, Suspense, type ReactNode } from "react";
import { BrowserRouter, Link, Navigate, Route, Routes, useLocation } from "react-router";
import { ErrorBox } from "../ui/bits";
import { Mark } from "../ui/logo";
import { Boundary } from "./boundary";
import { useConfig, useSession } from "./session";
import { Page, Shell } from "./shell";

const loadChat = () => import("../chat/chat-page");
const Chat = lazy(loadChat);
const Login = lazy(() => import("../account/login"));
const Signup = lazy(() => import("../account/signup"));
const Setup = lazy(() => import("../account/setup"));
const Credits = lazy(() => import("../account/credits"));
const Keys = lazy(() => import("../account/keys"));
const Settings = lazy(() => import("../account/settings"));
const Admin = lazy(() => import("../admin/routes"));

// The chat is where almost everybody is going: fetch it while the session is being checked.
if (location.pathname === "/" || location.pathname.startsWith("/c/")) void loadChat();

function Splash() {
  return (
    <div className="flex h-dvh items-center justify-center" role="status" aria-label="OneMind is loading">
      <Mark className="size-12 animate-pulse" />
    </div>
  );
}

/** Sends people to sign in, or to the set-up on a new installation. */
function SignedIn({ children }: { children: ReactNode }) {
  const session = useSession();
  const config = useConfig();
  const { pathname, search } = useLocation();
  if (session.error) {
    return (
      <div className="mx-auto max-w-md px-4 pt-24">
        <ErrorBox error={session.error} title="OneMind could not be reached." onRetry={() => void session.refetch()} />
      </div>
    );
  }
  if (session.isPending) return <Splash />;
  if (session.data) return children;
  if (config.isPending) return <Splash />;
  if (config.data?.setup_needed) return <Navigate to="/setup" replace />;
  const next = pathname + search;
  return <Navigate to={next === "/" ? "/login" : `/login?next=${encodeURIComponent(next)}`} replace />;
}

function AdminsOnly({ children }: { children: ReactNode }) {
  const session = useSession();
  if (session.data?.role === "admin") return children;
  return (
    <Page title="For administrators">
      <p className="text-soft">Your account cannot open this page. Ask an administrator if you need it.</p>
    </Page>
  );
}

function NotFound() {
  return (
    <Page title="This page does not exist">
      <Link to="/" className="font-medium text-accent underline underline-offset-2">
        Start a new chat
      </Link>
    </Page>
  );
}

export function App() {
  return (
    <BrowserRouter>
      <Boundary>
        <Suspense fallback={<Splash />}>
          <Routes>
            <Route path="/login" element={<Login />} />
            <Route path="/signup" element={<Signup />} />
            <Route path="/setup" element={<Setup />} />
            <Route element={<SignedIn><Shell /></SignedIn>}>
              <Route path="/" element={<Chat />} />
              <Route path="/c/:id" element={<Chat />} />
              <Route path="/credits" element={<Credits />} />
              <Route path="/keys" element={<Keys />} />
              <Route path="/settings" element={<Settings />} />
              <Route path="/admin/*" element={<AdminsOnly><Admin /></AdminsOnly>} />
              <Route path="*" element={<NotFound />} />
            </Route>
          </Routes>
        </Suspense>
      </Boundary>
    </BrowserRouter>
  );
}
