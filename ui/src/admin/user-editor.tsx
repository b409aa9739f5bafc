import { useMutation } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { Transactions } from "../account/credits";
import { etagOf, newKey, patch, post } from "../api/client";
import type { AdminUser, Limits, Plan } from "../api/admin-types";
import type { Transaction } from "../api/types";
import { queryClient } from "../app/query-client";
import { useMe } from "../app/session";
import { Badge } from "../ui/bits";
import { Button } from "../ui/button";
import { Confirm, Dialog } from "../ui/dialog";
import { SelectField, TextField } from "../ui/field";
import { creditsToNano, exactCredits, nanoToCredits } from "../ui/money";
import { toast, toastProblem } from "../ui/toast";
import { configChanged, fieldError, SaveError, useAdminList } from "./common";

const amountPattern = /^[+-]?\d{1,10}(\.\d{1,7})?$/;

function Grant({ user }: { user: AdminUser }) {
  const [amount, setAmount] = useState("");
  const [reason, setReason] = useState("");
  // One key for one intent: pressing again after a lost reply does not grant twice.
  const key = useRef(newKey());
  const grant = useMutation({
    mutationFn: () => post<Transaction>(`/api/admin/users/${user.id}/credits`, { credits: amount.replace("+", ""), reason: reason.trim() }, { idempotencyKey: key.current }),
    onSuccess: () => {
      key.current = newKey();
      toast(`${amount} credits for ${user.email}.`);
      setAmount("");
      setReason("");
      configChanged();
      void queryClient.invalidateQueries({ queryKey: ["transactions"] });
    },
  });
  const edit = (set: (value: string) => void) => (e: { target: { value: string } }) => {
    key.current = newKey();
    set(e.target.value);
  };
  const valid = amountPattern.test(amount.trim()) && Number(amount) !== 0;
  return (
    <form
      className="flex flex-col gap-3 rounded-xl border border-line p-4"
      onSubmit={(e) => {
        e.preventDefault();
        if (valid && reason.trim()) grant.mutate();
      }}
    >
      <h3 className="text-sm font-semibold">Grant credits</h3>
      <SaveError error={grant.error} onReload={configChanged} />
      <div className="grid gap-3 sm:grid-cols-[8rem_1fr]">
        <TextField label="Credits" inputMode="decimal" placeholder="500" value={amount} error={amount && !amountPattern.test(amount.trim()) ? "Not a number of credits" : fieldError(grant.error, "credits")} onChange={edit(setAmount)} />
        <TextField label="Reason" placeholder="Shown to them in their history" value={reason} error={fieldError(grant.error, "reason")} onChange={edit(setReason)} />
      </div>
      <div className="flex flex-wrap items-center justify-between gap-2">
        <p className="text-[13px] text-muted">1 credit is 1 US cent. A negative number takes back, never below zero.</p>
        <Button type="submit" variant="primary" size="sm" disabled={!valid || !reason.trim()} busy={grant.isPending}>
          Grant
        </Button>
      </div>
    </form>
  );
}

/** A user's own cap on what one day may cost; the plan's holds while there is none. */
function DailyCap({ user, busy, onSave }: { user: AdminUser; busy: boolean; onSave: (limits: Limits) => void }) {
  const now = user.limits?.credits_per_day_nano_usd;
  const [text, setText] = useState(now === undefined ? "" : nanoToCredits(now));
  const nano = text.trim() ? creditsToNano(text) : undefined;
  const bad = text.trim() !== "" && nano === undefined;
  return (
    <form
      className="flex items-start gap-3"
      onSubmit={(e) => {
        e.preventDefault();
        if (bad || nano === now) return;
        const { credits_per_day_nano_usd: _, ...others } = user.limits ?? {};
        onSave(nano === undefined ? others : { ...others, credits_per_day_nano_usd: nano });
      }}
    >
      <TextField
        label="Credits per day"
        hint="From midnight UTC. Empty: what the plan allows. 0: no limit"
        inputMode="decimal"
        className="min-w-0 flex-1"
        value={text}
        error={bad ? "Not a number of credits" : undefined}
        onChange={(e) => setText(e.target.value)}
      />
      <Button type="submit" className="mt-[1.625rem]" disabled={bad || nano === now} busy={busy}>
        Set
      </Button>
    </form>
  );
}

export function UserEditor({ user, onClose }: { user: AdminUser; onClose: () => void }) {
  const me = useMe();
  const plans = useAdminList<Plan>("plans", { limit: 200 });
  const [suspending, setSuspending] = useState(false);
  const change = useMutation({
    mutationFn: (body: Partial<Pick<AdminUser, "state" | "role" | "plan" | "limits">>) => patch<AdminUser>(`/api/admin/users/${user.id}`, body, etagOf(user.revision)),
    onSuccess: () => toast(`${user.email} is changed.`),
    onError: toastProblem,
    onSettled: () => {
      setSuspending(false);
      configChanged();
    },
  });
  const self = me?.id === user.id;
  const suspended = user.state === "suspended";
  return (
    <Dialog open onClose={onClose} side="right" title={user.name || user.email} description={user.email}>
      <div className="flex flex-col gap-5">
        <div className="flex flex-wrap items-center gap-3">
          <p className="text-2xl font-semibold tabular-nums">
            {exactCredits(user.balance_nano_usd)} <span className="text-sm font-normal text-muted">credits</span>
          </p>
          {user.held_nano_usd > 0 && <Badge>{exactCredits(user.held_nano_usd)} held</Badge>}
          {suspended && <Badge tone="bad">suspended</Badge>}
        </div>
        <Grant user={user} />
        <div className="grid gap-4 sm:grid-cols-2">
          <SelectField label="Plan" value={user.plan} disabled={change.isPending} onChange={(e) => change.mutate({ plan: e.target.value })}>
            {[...new Set([user.plan, ...plans.rows.map((p) => p.id)])].map((id) => (
              <option key={id}>{id}</option>
            ))}
          </SelectField>
          <SelectField
            label="Role"
            hint={self ? "You cannot change your own." : undefined}
            value={user.role}
            disabled={self || change.isPending}
            onChange={(e) => change.mutate({ role: e.target.value as AdminUser["role"] })}
          >
            <option value="user">User</option>
            <option value="admin">Administrator</option>
          </SelectField>
        </div>
        <DailyCap key={user.limits?.credits_per_day_nano_usd} user={user} busy={change.isPending} onSave={(limits) => change.mutate({ limits })} />
        {!self && (
          <Button
            variant={suspended ? "secondary" : "danger"}
            className="self-start"
            busy={change.isPending}
            onClick={() => (suspended ? change.mutate({ state: "active" }) : setSuspending(true))}
          >
            {suspended ? "Lift the suspension" : "Suspend"}
          </Button>
        )}
        <section>
          <h3 className="mb-2 text-sm font-semibold">Transactions</h3>
          <Transactions path={`/api/admin/users/${user.id}/transactions`} />
        </section>
      </div>
      <Confirm
        open={suspending}
        onClose={() => setSuspending(false)}
        onConfirm={() => change.mutate({ state: "suspended" })}
        busy={change.isPending}
        title={`Suspend ${user.email}?`}
        text="They are signed out everywhere and their keys stop working until you lift it. Nothing is deleted."
        action="Suspend"
      />
    </Dialog>
  );
}
