import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { del, etagOf, patch, post } from "../api/client";
import type { Provider } from "../api/admin-types";
import { Button } from "../ui/button";
import { Confirm, Dialog } from "../ui/dialog";
import { Field, inputLook, SelectField, Switch, TextField } from "../ui/field";
import { toast } from "../ui/toast";
import { configChanged, fieldError, listOf, SaveError, wholeNumber } from "./common";

/** What the address of each protocol looks like: everything before the path that the protocol itself names. */
const addresses: Record<string, string> = {
  openai: "https://api.openai.com/v1",
  anthropic: "https://api.anthropic.com/v1",
  gemini: "https://generativelanguage.googleapis.com/v1beta",
};

export function ProviderEditor({ provider, onClose }: { provider?: Provider; onClose: () => void }) {
  const [form, setForm] = useState({
    id: provider?.id ?? "",
    name: provider?.name ?? "",
    protocol: provider?.protocol ?? "openai",
    base_url: provider?.base_url ?? "",
    keys: "",
    max_concurrency: String(provider?.max_concurrency ?? 200),
    max_waiting: provider?.max_waiting ? String(provider.max_waiting) : "",
    max_wait: provider?.max_wait ?? "",
    connect: provider?.timeouts?.connect ?? "5s",
    first_token: provider?.timeouts?.first_token ?? "30s",
    idle: provider?.timeouts?.idle ?? "60s",
    whole: provider?.timeouts?.whole ?? "",
  });
  const [enabled, setEnabled] = useState(provider?.enabled ?? true);
  const [allowPrivate, setAllowPrivate] = useState(provider?.allow_private_address ?? false);
  const [removing, setRemoving] = useState(false);
  const set = (key: keyof typeof form) => (e: { target: { value: string } }) => setForm({ ...form, [key]: e.target.value });
  const keys = listOf(form.keys);

  const save = useMutation({
    mutationFn: () => {
      const body = {
        name: form.name.trim(),
        protocol: form.protocol,
        base_url: form.base_url.trim(),
        enabled,
        allow_private_address: allowPrivate,
        max_concurrency: wholeNumber(form.max_concurrency),
        max_waiting: wholeNumber(form.max_waiting),
        max_wait: form.max_wait.trim(),
        timeouts: { connect: form.connect, first_token: form.first_token, idle: form.idle, whole: form.whole.trim() },
        ...(keys.length ? { api_keys: keys } : {}),
      };
      return provider
        ? patch(`/api/admin/providers/${encodeURIComponent(provider.id)}`, body, etagOf(provider.revision))
        : post("/api/admin/providers", { id: form.id.trim(), ...body });
    },
    onSuccess: () => {
      toast(`${form.name} is saved.`);
      configChanged();
      onClose();
    },
  });
  const remove = useMutation({
    mutationFn: () => del(`/api/admin/providers/${encodeURIComponent(provider!.id)}`, etagOf(provider!.revision)),
    onSuccess: () => {
      toast(`${form.name} is deleted.`);
      configChanged();
      onClose();
    },
    onError: () => setRemoving(false),
  });
  const ready = form.name.trim() && (provider || form.id.trim()) && (form.protocol === "demo" || form.base_url.trim());
  const at = (field: string) => fieldError(save.error, field);

  return (
    <Dialog
      open
      onClose={onClose}
      side="right"
      title={provider ? provider.name : "Add a provider"}
      description={provider ? provider.id : "Any server that speaks one of the protocols."}
      footer={
        <>
          {provider && (
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
        autoComplete="off"
        onSubmit={(e) => {
          e.preventDefault();
          if (ready) save.mutate();
        }}
      >
        <SaveError
          error={save.error ?? remove.error}
          onReload={() => {
            configChanged();
            onClose();
          }}
        />
        {!provider && <TextField label="Id" hint="Small letters and dashes, for example local" value={form.id} error={at("id")} onChange={set("id")} autoFocus required />}
        <TextField label="Name" value={form.name} error={at("name")} onChange={set("name")} required />
        <Field
          label={provider?.keys?.length ? "Replace the keys" : "API keys"}
          hint={provider?.keys?.length ? `In use: ${provider.keys.map((k) => `••••${k.last4}`).join(", ")}. Leave empty to keep them; what you type replaces all of them, one per line.` : "One per line. Several share the load, and one that is refused is skipped."}
          error={at("api_keys")}
        >
          {(props) => (
            <textarea
              {...props}
              rows={2}
              spellCheck={false}
              autoComplete="off"
              data-1p-ignore
              value={form.keys}
              onChange={set("keys")}
              className={`${inputLook} h-auto py-2 font-mono [-webkit-text-security:disc]`}
            />
          )}
        </Field>
        <SelectField label="Protocol" value={form.protocol} error={at("protocol")} onChange={set("protocol")}>
          <option value="openai">OpenAI and compatible</option>
          <option value="anthropic">Anthropic Messages</option>
          <option value="gemini">Google Gemini</option>
          <option value="demo">Demo (built in)</option>
        </SelectField>
        <TextField label="Base URL" type="url" placeholder={addresses[form.protocol]} disabled={form.protocol === "demo"} value={form.base_url} error={at("base_url")} onChange={set("base_url")} />
        <Switch label="Enabled" checked={enabled} onChange={setEnabled} />
        <Switch
          label="Allow private addresses"
          hint="Only for servers in your own network, such as Ollama. Otherwise OneMind refuses to call them."
          checked={allowPrivate}
          onChange={setAllowPrivate}
        />
        {allowPrivate && (
          <p role="note" className="rounded-lg bg-warn-soft px-3 py-2 text-[13px] text-warn">
            OneMind may now call servers inside your network at this base URL, with this provider's key. Turn it on only for a server that is yours. The change is in the audit log.
          </p>
        )}
        <fieldset>
          <legend className="mb-2 text-sm font-semibold">Traffic</legend>
          <div className="grid grid-cols-2 items-start gap-4">
            <TextField label="Answers at once" hint="0 means no limit" inputMode="numeric" value={form.max_concurrency} error={at("max_concurrency")} onChange={set("max_concurrency")} />
            <TextField label="Waiting at most" hint="Empty means 20 per place" inputMode="numeric" placeholder="20 per place" value={form.max_waiting} error={at("max_waiting")} onChange={set("max_waiting")} />
            <TextField label="Longest wait" hint="Such as 45s; empty means 30s" placeholder="30s" value={form.max_wait} error={at("max_wait")} onChange={set("max_wait")} />
          </div>
        </fieldset>
        <fieldset>
          <legend className="mb-2 text-sm font-semibold">Patience</legend>
          <div className="grid grid-cols-2 items-start gap-4">
            <TextField label="Connect within" value={form.connect} onChange={set("connect")} />
            <TextField label="First word within" value={form.first_token} onChange={set("first_token")} />
            <TextField label="Longest silence" value={form.idle} onChange={set("idle")} />
            <TextField label="Whole answer within" hint="Of what is not streamed, such as an image; empty means 10m" placeholder="10m" value={form.whole} onChange={set("whole")} />
          </div>
        </fieldset>
        {at("timeouts") && <p className="text-[13px] text-danger">{at("timeouts")}</p>}
        <button type="submit" hidden />
      </form>
      <Confirm
        open={removing}
        onClose={() => setRemoving(false)}
        onConfirm={() => remove.mutate()}
        busy={remove.isPending}
        title={`Delete ${provider?.name}?`}
        text="Its keys are erased and its models cannot be asked any more. Turning it off is easier to undo."
        action="Delete provider"
      />
    </Dialog>
  );
}
