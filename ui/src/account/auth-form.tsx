import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { post, Problem } from "../api/client";
import type { Me } from "../api/types";
import { signedIn } from "../app/session";
import { ErrorBox } from "../ui/bits";
import { Button } from "../ui/button";
import { TextField } from "../ui/field";

interface Props {
  path: string;
  action: string;
  /** Also ask for a name; the password is a new one. */
  fresh?: boolean;
  extra?: Record<string, string>;
  next?: string;
}

/** Only paths of this app: nobody is sent elsewhere by a crafted link. */
export const safeNext = (next: string | null) => (next && /^\/(?![/\\])/.test(next) ? next : "/");

export function AuthForm({ path, action, fresh, extra, next = "/" }: Props) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const submit = useMutation({
    mutationFn: () => post<Me>(path, { email: email.trim(), password, ...(fresh && name.trim() ? { name: name.trim() } : {}), ...extra }),
    onSuccess: (me) => {
      signedIn(me);
      void navigate(next, { replace: true });
    },
  });
  const problem = submit.error instanceof Problem ? submit.error : undefined;
  const at = (field: string) => (problem?.field === field ? problem.message : undefined);

  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(e) => {
        e.preventDefault();
        submit.mutate();
      }}
    >
      {submit.error && !(problem?.field && ["name", "email", "password"].includes(problem.field)) && <ErrorBox error={submit.error} />}
      {fresh && <TextField label="Name" hint="Optional" autoComplete="name" value={name} error={at("name")} onChange={(e) => setName(e.target.value)} />}
      <TextField label="Email" type="email" autoComplete="email" required autoFocus={!fresh} value={email} error={at("email")} onChange={(e) => setEmail(e.target.value)} />
      <TextField
        label="Password"
        type="password"
        required
        minLength={fresh ? 8 : undefined}
        hint={fresh ? "At least 8 characters" : undefined}
        autoComplete={fresh ? "new-password" : "current-password"}
        value={password}
        error={at("password")}
        onChange={(e) => setPassword(e.target.value)}
      />
      <Button type="submit" variant="primary" className="mt-1 h-11" busy={submit.isPending}>
        {submit.isPending ? "One moment…" : action}
      </Button>
    </form>
  );
}
