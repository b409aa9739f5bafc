import { useMutation, useQuery } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { del, get, patch, post, Problem } from "../api/client";
import type { ApiKey, NewApiKey, Page as ListPage } from "../api/types";
import { queryClient } from "../app/query-client";
import { useConfig } from "../app/session";
import { Page } from "../app/shell";
import { useModels } from "../chat/models";
import { CopyButton, Empty, ErrorBox, SkeletonRows, Time } from "../ui/bits";
import { Button } from "../ui/button";
import { cx } from "../ui/cx";
import { Confirm, Dialog } from "../ui/dialog";
import { Switch, TextField } from "../ui/field";
import { creditsToNano, exactCredits, nanoToCredits } from "../ui/money";
import { Table } from "../ui/table";
import { toast, toastProblem } from "../ui/toast";

const snippets = {
  Python: (base: string, model: string) => `from openai import OpenAI

client = OpenAI(base_url="${base}/v1", api_key="om_...")

stream = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="")`,
  JavaScript: (base: string, model: string) => `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}/v1", apiKey: "om_..." });

const stream = await client.chat.completions.create({
  model: "${model}",
  messages: [{ role: "user", content: "Hello" }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}`,
  curl: (base: string, model: string) => `curl ${base}/v1/chat/completions \\
  -H "Authorization: Bearer om_..." \\
  -H "Content-Type: application/json" \\
  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`,
};
type Language = keyof typeof snippets;

function Snippet({ apiKey }: { apiKey?: string }) {
  const [language, setLanguage] = useState<Language>("Python");
  const config = useConfig();
  const models = useModels();
  const base = (config.data?.public_url || location.origin).replace(/\/$/, "");
  const model = models.data?.items.find((m) => m.available)?.id ?? "demo";
  const code = snippets[language](base, model).replace("om_...", apiKey ?? "om_...");
  return (
    <div className="overflow-hidden rounded-2xl border border-line bg-surface">
      <div className="flex items-center gap-1 border-b border-line p-1.5">
        <div role="group" aria-label="Language" className="flex gap-1">
          {(Object.keys(snippets) as Language[]).map((name) => (
            <button
              key={name}
              type="button"
              aria-pressed={name === language}
              onClick={() => setLanguage(name)}
              className={cx("h-8 rounded-lg px-3 text-[13px] font-medium touch:h-11", name === language ? "bg-hover text-text" : "text-muted hover:text-text")}
            >
              {name}
            </button>
          ))}
        </div>
        <span className="flex-1" />
        <CopyButton text={code} label="Copy code" />
      </div>
      <pre tabIndex={0} role="region" aria-label={`${language} example`} className="overflow-x-auto p-4 font-mono text-[13px] leading-relaxed">
        {code}
      </pre>
    </div>
  );
}

interface KeyForm {
  name: string;
  daily: string;
  cache: boolean;
}

const formOf = (key?: ApiKey): KeyForm => ({
  name: key?.name ?? "",
  daily: key?.credits_per_day_nano_usd ? nanoToCredits(key.credits_per_day_nano_usd) : "",
  cache: key?.response_cache ?? false,
});

/** The body to send, or undefined while a field is wrong. */
function bodyOf(form: KeyForm) {
  const nano = form.daily.trim() ? creditsToNano(form.daily) : 0;
  if (!form.name.trim() || nano === undefined) return undefined;
  return { name: form.name.trim(), credits_per_day_nano_usd: nano, response_cache: form.cache };
}

function KeyFields({ form, error, onChange }: { form: KeyForm; error: Error | null; onChange: (form: KeyForm) => void }) {
  const bad = form.daily.trim() !== "" && creditsToNano(form.daily) === undefined;
  const at = (field: string) => (error instanceof Problem && error.field === field ? error.message : undefined);
  return (
    <>
      {error && <ErrorBox error={error} />}
      <TextField
        label="Name"
        hint="Where it is used, so that you know which one to revoke."
        value={form.name}
        maxLength={100}
        autoFocus
        error={at("name")}
        onChange={(e) => onChange({ ...form, name: e.target.value })}
      />
      <TextField
        label="Credits per day"
        hint="The most this key may spend in a day, from midnight UTC. Empty means no limit of its own."
        inputMode="decimal"
        autoComplete="off"
        value={form.daily}
        error={bad ? "Not a number of credits" : at("credits_per_day_nano_usd")}
        onChange={(e) => onChange({ ...form, daily: e.target.value })}
      />
      <Switch
        label="Answer repeated requests from the response cache"
        hint="A request that is the same in every letter is answered from memory for an hour, free of charge."
        checked={form.cache}
        onChange={(cache) => onChange({ ...form, cache })}
      />
    </>
  );
}

interface KeyDialogProps {
  title: string;
  action: string;
  initial: KeyForm;
  error: Error | null;
  busy: boolean;
  onSubmit: (body: NonNullable<ReturnType<typeof bodyOf>>) => void;
  onClose: () => void;
}

/** The dialog that both making and changing a key share. */
function KeyDialog({ title, action, initial, error, busy, onSubmit, onClose }: KeyDialogProps) {
  const [form, setForm] = useState(initial);
  const body = bodyOf(form);
  const submit = () => body && onSubmit(body);
  return (
    <Dialog
      open
      onClose={onClose}
      title={title}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button variant="primary" onClick={submit} disabled={!body} busy={busy}>
            {action}
          </Button>
        </>
      }
    >
      <form
        className="flex flex-col gap-4"
        onSubmit={(e) => {
          e.preventDefault();
          submit();
        }}
      >
        <KeyFields form={form} error={error} onChange={setForm} />
        <button type="submit" hidden />
      </form>
    </Dialog>
  );
}

const changed = () => void queryClient.invalidateQueries({ queryKey: ["keys"] });

function Create({ onClose }: { onClose: () => void }) {
  const create = useMutation({ mutationFn: (body: object) => post<NewApiKey>("/api/keys", body), onSuccess: changed });
  if (create.data) {
    return (
      <Dialog open onClose={onClose} title="Your new key" description="Copy it now: it is not shown again." wide footer={<Button variant="primary" onClick={onClose}>I have copied it</Button>}>
        <div className="mb-4 flex items-center gap-2 rounded-xl border border-line bg-panel py-2 pr-2 pl-4">
          <code className="min-w-0 flex-1 font-mono text-sm break-all">{create.data.key}</code>
          <CopyButton text={create.data.key} label="Copy key" showLabel />
        </div>
        <Snippet apiKey={create.data.key} />
      </Dialog>
    );
  }
  return <KeyDialog title="Create an API key" action="Create key" initial={formOf()} error={create.error} busy={create.isPending} onSubmit={create.mutate} onClose={onClose} />;
}

function Edit({ apiKey, onClose }: { apiKey: ApiKey; onClose: () => void }) {
  const save = useMutation({
    mutationFn: (body: object) => patch<ApiKey>(`/api/keys/${apiKey.id}`, body),
    onSuccess: (_, body) => {
      toast(`“${(body as { name: string }).name}” is saved.`);
      changed();
      onClose();
    },
  });
  return <KeyDialog title="Change an API key" action="Save" initial={formOf(apiKey)} error={save.error} busy={save.isPending} onSubmit={save.mutate} onClose={onClose} />;
}

export default function Keys() {
  const keys = useQuery({ queryKey: ["keys"], queryFn: ({ signal }) => get<ListPage<ApiKey>>("/api/keys", signal) });
  const [creating, setCreating] = useState(false);
  const [editing, setEditing] = useState<ApiKey>();
  const [revoking, setRevoking] = useState<ApiKey>();
  const revoke = useMutation({
    mutationFn: (key: ApiKey) => del(`/api/keys/${key.id}`),
    onSuccess: (_, key) => toast(`“${key.name}” is revoked.`),
    onError: toastProblem,
    onSettled: () => {
      setRevoking(undefined);
      changed();
    },
  });
  const rows = keys.data?.items ?? [];
  const create = (
    <Button variant="primary" onClick={() => setCreating(true)}>
      Create key
    </Button>
  );

  return (
    <Page title="API keys" description="Use every model from your own code, with the OpenAI SDK you already have." actions={rows.length > 0 && create}>
      {keys.isPending && <SkeletonRows rows={3} />}
      {keys.error && <ErrorBox error={keys.error} onRetry={() => void keys.refetch()} />}
      {keys.data && rows.length === 0 && (
        <Empty title="No keys yet" icon={<KeyRound />}>
          <p className="mb-4">A key lets a program ask models and pay with your credits. It is shown once, when you create it.</p>
          {create}
        </Empty>
      )}
      {rows.length > 0 && (
        <Table
          label="API keys"
          rows={rows}
          rowKey={(k) => k.id}
          columns={[
            { head: "Name", cell: (k) => <span className="font-medium">{k.name}</span> },
            { head: "Key", cell: (k) => <code className="font-mono text-[13px] text-muted">{k.prefix}…</code> },
            { head: "Credits / day", right: true, cell: (k) => (k.credits_per_day_nano_usd ? exactCredits(k.credits_per_day_nano_usd) : <span className="text-muted">no limit</span>) },
            { head: "Cache", cell: (k) => (k.response_cache ? "on" : <span className="text-muted">off</span>) },
            { head: "Created", cell: (k) => <span className="text-muted"><Time iso={k.created_at} /></span> },
            { head: "Last used", cell: (k) => <span className="text-muted"><Time iso={k.last_used_at} /></span> },
            {
              head: "Actions",
              hideHead: true,
              right: true,
              cell: (k) => (
                <div className="flex justify-end gap-1">
                  <Button size="sm" variant="ghost" aria-label={`Change ${k.name}`} onClick={() => setEditing(k)}>Change</Button>
                  <Button size="sm" variant="ghost" aria-label={`Revoke ${k.name}`} onClick={() => setRevoking(k)}>Revoke</Button>
                </div>
              ),
            },
          ]}
        />
      )}
      <h2 className="mt-10 mb-3 text-lg font-semibold">How to use it</h2>
      <Snippet />
      {editing && <Edit key={editing.id} apiKey={editing} onClose={() => setEditing(undefined)} />}
      {creating && <Create onClose={() => setCreating(false)} />}
      <Confirm
        open={!!revoking}
        onClose={() => setRevoking(undefined)}
        onConfirm={() => revoking && revoke.mutate(revoking)}
        busy={revoke.isPending}
        title={`Revoke “${revoking?.name}”?`}
        text="Programs that use this key stop working at once. This cannot be undone."
        action="Revoke key"
      />
    </Page>
  );
}
