import { useMutation } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { del, etagOf, patch, post } from "../api/client";
import type { Plan } from "../api/admin-types";
import { Button } from "../ui/button";
import { Confirm, Dialog } from "../ui/dialog";
import { Switch, TextField } from "../ui/field";
import { count } from "../ui/format";
import { creditsToNano, exactCredits, nanoToCredits } from "../ui/money";
import { Table } from "../ui/table";
import { toast } from "../ui/toast";
import { configChanged, fieldError, listOf, Loader, SaveError, useAdminList, wholeNumber } from "./common";
import { Heading } from "./heading";

const limits = [
  ["requests_per_minute", "Model calls per minute"],
  ["requests_per_minute_per_provider", "… to one provider"],
  ["concurrent_answers", "Answers at once"],
  ["tokens_per_minute", "Tokens per minute"],
] as const;

function Editor({ plan, onClose }: { plan?: Plan; onClose: () => void }) {
  const [id, setId] = useState(plan?.id ?? "");
  const [models, setModels] = useState(plan?.models?.join(", ") ?? "");
  const [values, setValues] = useState<Record<string, string>>(() =>
    Object.fromEntries(limits.map(([key]) => [key, String(plan?.[key] ?? { requests_per_minute: 30, requests_per_minute_per_provider: 10, concurrent_answers: 15 }[key as string] ?? 0)])),
  );
  const [daily, setDaily] = useState(plan?.credits_per_day_nano_usd ? nanoToCredits(plan.credits_per_day_nano_usd) : "");
  const [cache, setCache] = useState(plan?.response_cache ?? false);
  const [removing, setRemoving] = useState(false);
  const perDay = daily.trim() ? creditsToNano(daily) : 0;
  const ready = !!id.trim() && perDay !== undefined;
  const save = useMutation({
    mutationFn: () => {
      const body = { ...Object.fromEntries(limits.map(([key]) => [key, wholeNumber(values[key] ?? "0")])), credits_per_day_nano_usd: perDay, response_cache: cache, models: listOf(models) };
      return plan ? patch(`/api/admin/plans/${encodeURIComponent(plan.id)}`, body, etagOf(plan.revision)) : post("/api/admin/plans", { id: id.trim(), ...body });
    },
    onSuccess: () => {
      toast(`The plan ${id} is saved.`);
      configChanged();
      onClose();
    },
  });
  const remove = useMutation({
    mutationFn: () => del(`/api/admin/plans/${encodeURIComponent(plan!.id)}`, etagOf(plan!.revision)),
    onSuccess: () => {
      configChanged();
      onClose();
    },
    onError: () => setRemoving(false),
  });
  return (
    <Dialog
      open
      onClose={onClose}
      side="right"
      title={plan ? `Plan ${plan.id}` : "Add a plan"}
      footer={
        <>
          {plan && (
            <Button variant="danger" className="mr-auto" onClick={() => setRemoving(true)}>
              Delete
            </Button>
          )}
          <Button onClick={onClose}>Cancel</Button>
          <Button variant="primary" disabled={!ready} busy={save.isPending} onClick={() => save.mutate()}>
            Save
          </Button>
        </>
      }
    >
      <form
        className="flex flex-col gap-4"
        onSubmit={(e) => {
          e.preventDefault();
          if (ready) save.mutate();
        }}
      >
        <SaveError error={save.error ?? remove.error} onReload={() => { configChanged(); onClose(); }} />
        {!plan && <TextField label="Id" value={id} error={fieldError(save.error, "id")} onChange={(e) => setId(e.target.value)} autoFocus required />}
        {limits.map(([key, name]) => (
          <TextField
            key={key}
            label={name}
            hint={key === "tokens_per_minute" ? "0 means no limit" : undefined}
            inputMode="numeric"
            value={values[key]}
            error={fieldError(save.error, key)}
            onChange={(e) => setValues({ ...values, [key]: e.target.value })}
          />
        ))}
        <TextField
          label="Credits per day"
          hint="For each person, from midnight UTC. Empty means no limit"
          inputMode="decimal"
          value={daily}
          error={perDay === undefined ? "Not a number of credits" : fieldError(save.error, "credits_per_day_nano_usd")}
          onChange={(e) => setDaily(e.target.value)}
        />
        <Switch label="Response cache" hint="A repeated question with the same settings is answered from memory, free of charge." checked={cache} onChange={setCache} />
        <TextField label="Models" hint="Ids with commas between; empty means all" value={models} error={fieldError(save.error, "models")} onChange={(e) => setModels(e.target.value)} />
        <button type="submit" hidden />
      </form>
      <Confirm open={removing} onClose={() => setRemoving(false)} onConfirm={() => remove.mutate()} busy={remove.isPending} title={`Delete the plan ${plan?.id}?`} text="People on it fall back to the default plan." action="Delete plan" />
    </Dialog>
  );
}

export default function Plans() {
  const list = useAdminList<Plan>("plans", { limit: 200 });
  const [editing, setEditing] = useState<Plan | "new">();
  const some = (n: number) => (n ? count(n) : <span className="text-muted">no limit</span>);
  return (
    <>
      <Heading title="Plans" description="Named sets of limits. Everybody has one plan; one unit is one model call.">
        <Button variant="primary" onClick={() => setEditing("new")}>
          <Plus className="size-4" /> Add plan
        </Button>
      </Heading>
      <Loader list={list}>
        <Table
          label="Plans"
          rows={list.rows}
          rowKey={(p) => p.id}
          more={list.more}
          columns={[
            { head: "Plan", cell: (p) => <span className="font-medium">{p.id}</span> },
            { head: "Calls / min", right: true, cell: (p) => count(p.requests_per_minute) },
            { head: "… per provider", right: true, cell: (p) => count(p.requests_per_minute_per_provider) },
            { head: "At once", right: true, cell: (p) => count(p.concurrent_answers) },
            { head: "Tokens / min", right: true, cell: (p) => some(p.tokens_per_minute) },
            { head: "Credits / day", right: true, cell: (p) => (p.credits_per_day_nano_usd ? exactCredits(p.credits_per_day_nano_usd) : some(0)) },
            { head: "Cache", cell: (p) => (p.response_cache ? "on" : <span className="text-muted">off</span>) },
            { head: "Models", cell: (p) => (p.models?.length ? <span title={p.models.join(", ")}>{p.models.length} chosen</span> : "all") },
            { head: "Actions", hideHead: true, right: true, cell: (p) => <Button size="sm" aria-label={`Edit ${p.id}`} onClick={() => setEditing(p)}>Edit</Button> },
          ]}
        />
      </Loader>
      {editing && <Editor key={editing === "new" ? "new" : editing.id} plan={editing === "new" ? undefined : editing} onClose={() => setEditing(undefined)} />}
    </>
  );
}
