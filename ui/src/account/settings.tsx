import { useMutation, useQuery } from "@tanstack/react-query";
import { Monitor, Moon, Sun } from "lucide-react";
import { useState } from "react";
import { del, get, patch, Problem } from "../api/client";
import type { Me, Page as ListPage, Session } from "../api/types";
import { queryClient } from "../app/query-client";
import { useConfig, useMe } from "../app/session";
import { Page } from "../app/shell";
import { setTheme, useTheme, type Theme } from "../app/theme";
import { Badge, Card, ErrorBox, SkeletonRows, Time } from "../ui/bits";
import { Button } from "../ui/button";
import { cx } from "../ui/cx";
import { TextField } from "../ui/field";
import { toast, toastProblem } from "../ui/toast";

function Profile({ me }: { me: Me }) {
  const [name, setName] = useState(me.name);
  const save = useMutation({
    mutationFn: () => patch<Me>("/api/me", { name: name.trim() }),
    onSuccess: (next) => {
      queryClient.setQueryData(["me"], next);
      toast("Your profile is saved.");
    },
  });
  return (
    <Card title="Profile">
      <form
        className="flex flex-col gap-4"
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate();
        }}
      >
        {save.error && <ErrorBox error={save.error} />}
        <TextField label="Name" autoComplete="name" value={name} maxLength={100} onChange={(e) => setName(e.target.value)} />
        <TextField label="Email" type="email" value={me.email} disabled readOnly />
        <Button type="submit" variant="primary" className="self-start" disabled={name.trim() === me.name} busy={save.isPending}>
          Save
        </Button>
      </form>
    </Card>
  );
}

function Password() {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const save = useMutation({
    mutationFn: () => patch<Me>("/api/me", { current_password: current, new_password: next }),
    onSuccess: () => {
      setCurrent("");
      setNext("");
      toast("Your password is changed.");
      void queryClient.invalidateQueries({ queryKey: ["sessions"] });
    },
  });
  const field = save.error instanceof Problem ? save.error.field : undefined;
  const at = (name: string) => (field === name ? save.error?.message : undefined);
  return (
    <Card title="Password">
      <form
        className="flex flex-col gap-4"
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate();
        }}
      >
        {save.error && !field && <ErrorBox error={save.error} />}
        <TextField label="Current password" type="password" autoComplete="current-password" required value={current} error={at("current_password")} onChange={(e) => setCurrent(e.target.value)} />
        <TextField label="New password" type="password" autoComplete="new-password" required minLength={8} hint="At least 8 characters" value={next} error={at("new_password")} onChange={(e) => setNext(e.target.value)} />
        <Button type="submit" variant="primary" className="self-start" disabled={!current || next.length < 8} busy={save.isPending}>
          Change password
        </Button>
      </form>
    </Card>
  );
}

function device(agent: string): string {
  const browser = /Firefox|Edg|OPR|Chrome|Safari|curl/.exec(agent)?.[0] ?? "Browser";
  const system = /Windows|Android|iPhone|iPad|Mac OS X|Linux/.exec(agent)?.[0];
  const name = browser === "Edg" ? "Edge" : browser === "OPR" ? "Opera" : browser;
  return system ? `${name} on ${system === "Mac OS X" ? "macOS" : system}` : name;
}

function Sessions() {
  const list = useQuery({ queryKey: ["sessions"], queryFn: ({ signal }) => get<ListPage<Session>>("/api/me/sessions", signal) });
  const revoke = useMutation({
    mutationFn: (s: Session) => del(`/api/me/sessions/${s.id}`),
    onSuccess: () => toast("Signed out there."),
    onError: toastProblem,
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["sessions"] }),
  });
  return (
    <Card title="Where you are signed in" description="Sign out what you do not recognise, then change your password.">
      {list.isPending && <SkeletonRows rows={2} />}
      {list.error && <ErrorBox error={list.error} onRetry={() => void list.refetch()} />}
      <ul className="divide-y divide-line">
        {list.data?.items.map((s) => (
          <li key={s.id} className="flex items-center gap-3 py-3 first:pt-0 last:pb-0">
            <Monitor className="size-5 shrink-0 text-muted" aria-hidden="true" />
            <div className="min-w-0 flex-1">
              <p className="flex flex-wrap items-center gap-2 text-sm font-medium" title={s.user_agent}>
                {device(s.user_agent)} {s.current && <Badge tone="ok">this one</Badge>}
              </p>
              <p className="text-[13px] text-muted">
                {s.address} · <Time iso={s.last_seen_at} />
              </p>
            </div>
            {!s.current && (
              <Button size="sm" aria-label={`Sign out ${device(s.user_agent)}`} onClick={() => revoke.mutate(s)} disabled={revoke.isPending}>
                Sign out
              </Button>
            )}
          </li>
        ))}
      </ul>
    </Card>
  );
}

const themes: [Theme, string, typeof Sun][] = [
  ["system", "System", Monitor],
  ["light", "Light", Sun],
  ["dark", "Dark", Moon],
];

function Appearance() {
  const theme = useTheme((s) => s.theme);
  return (
    <Card title="Appearance">
      <div role="radiogroup" aria-label="Theme" className="grid grid-cols-3 gap-2">
        {themes.map(([value, name, Icon]) => (
          <label
            key={value}
            className={cx(
              "flex cursor-pointer flex-col items-center gap-2 rounded-xl border p-4 text-sm font-medium transition has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent",
              theme === value ? "border-text bg-panel" : "border-line text-soft hover:bg-hover",
            )}
          >
            <input type="radio" name="theme" value={value} checked={theme === value} onChange={() => setTheme(value)} className="sr-only" />
            <Icon className="size-5" aria-hidden="true" />
            {name}
          </label>
        ))}
      </div>
    </Card>
  );
}

export default function Settings() {
  const me = useMe();
  const config = useConfig();
  return (
    <Page title="Settings">
      <div className="flex flex-col gap-5">
        {me && <Profile me={me} />}
        <Appearance />
        <Password />
        <Sessions />
      </div>
      <p className="mt-8 text-center text-[13px] text-muted">OneMind {config.data?.version}</p>
    </Page>
  );
}
