import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { del, etagOf, get, patch, post } from "../api/client";
import type { AdminModel, ModelState, PriceVersion, Provider } from "../api/admin-types";
import type { Page } from "../api/types";
import { Badge, SkeletonRows, Time } from "../ui/bits";
import { Button } from "../ui/button";
import { Confirm, Dialog } from "../ui/dialog";
import { SelectField, TextField } from "../ui/field";
import { nanoToDollars } from "../ui/money";
import { toast } from "../ui/toast";
import { configChanged, fieldError, listOf, SaveError, useAdminList, wholeNumber } from "./common";
import { PriceFields, pricesOf, samePrices, textsOf } from "./price-fields";
import { RuleFields } from "./rule-fields";
import { rulesForm, rulesOf } from "./rules";
import { Substitutes } from "./substitutes";

const abilities = [
  ["streaming", "streaming"],
  ["tools", "tools"],
  ["images", "images"],
  ["json", "json"],
  ["reasoning", "reasoning"],
  ["documents", "documents"],
  ["audio", "audio"],
] as const;

/** What a model does instead of chatting. */
const specials = [
  ["embeddings", "embeddings"],
  ["image_generation", "image generation"],
  ["transcription", "transcription"],
] as const;

interface AbilityProps {
  legend: string;
  hint?: string;
  names: readonly (readonly [string, string])[];
  chosen: Set<string>;
  onChange: (chosen: Set<string>) => void;
}

function Abilities({ legend, hint, names, chosen, onChange }: AbilityProps) {
  return (
    <fieldset>
      <legend className="mb-2 text-sm font-semibold">{legend}</legend>
      {hint && <p className="-mt-1.5 mb-2 text-[13px] text-muted">{hint}</p>}
      <div className="flex flex-wrap gap-x-5 gap-y-2">
        {names.map(([id, name]) => (
          <label key={id} className="flex items-center gap-2 text-sm touch:min-h-11">
            <input
              type="checkbox"
              className="size-4 accent-[var(--accent)]"
              checked={chosen.has(id)}
              onChange={(e) => {
                const next = new Set(chosen);
                if (e.target.checked) next.add(id);
                else next.delete(id);
                onChange(next);
              }}
            />
            {name}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function History({ id }: { id: string }) {
  const list = useQuery({
    queryKey: ["admin", "prices", id],
    queryFn: ({ signal }) => get<Page<PriceVersion>>(`/api/admin/models/${encodeURIComponent(id)}/prices`, signal),
  });
  if (!list.data) return list.error ? null : <SkeletonRows rows={2} label="Loading the price history" />;
  return (
    <section aria-label="Price history">
      <h3 className="mb-1 text-sm font-semibold">Price history</h3>
      <p className="mb-2 text-[13px] text-muted">Old prices stay as they were: what was charged is never priced again.</p>
      <ul className="divide-y divide-line rounded-xl border border-line text-[13px]">
        {list.data.items.map((v) => (
          <li key={v.version} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-3 py-2">
            <span className="font-medium">v{v.version}</span>
            <span className="tabular-nums">
              ${nanoToDollars(v.prices.input_nano_usd ?? 0)} in · ${nanoToDollars(v.prices.output_nano_usd ?? 0)} out
            </span>
            {v.current && <Badge tone="ok">current</Badge>}
            <span className="w-full text-muted">
              from <Time iso={v.effective_at} />
              {v.source && ` · ${v.source}`}
              {v.author && ` · ${v.author}`}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

export function ModelEditor({ model, onClose }: { model?: AdminModel; onClose: () => void }) {
  const providers = useAdminList<Provider>("providers", { limit: 200 });
  const [form, setForm] = useState({
    id: model?.id ?? "",
    name: model?.name ?? "",
    provider: model?.provider ?? "",
    upstream_id: model?.upstream_id ?? "",
    context_window: String(model?.context_window ?? 128000),
    max_output_tokens: String(model?.max_output_tokens ?? 8192),
    aliases: model?.aliases?.join(", ") ?? "",
    retires_on: model?.retires_on ?? "",
    state: (model?.state ?? "active") as ModelState,
    source: "",
  });
  const [capabilities, setCapabilities] = useState(new Set(model?.capabilities ?? ["streaming"]));
  const [substitutes, setSubstitutes] = useState(model?.substitutes ?? []);
  const [rules, setRules] = useState(() => rulesForm(model?.parameter_rules));
  const [texts, setTexts] = useState(textsOf(model?.prices));
  const [removing, setRemoving] = useState(false);
  const set = (key: keyof typeof form) => (e: { target: { value: string } }) => setForm({ ...form, [key]: e.target.value });
  const prices = pricesOf(texts);
  const newRules = rulesOf(rules, model?.parameter_rules);
  const newPrice = !!model && !!prices && !samePrices(prices, model.prices);

  const save = useMutation({
    mutationFn: () => {
      const body = {
        name: form.name.trim(),
        provider: form.provider,
        upstream_id: form.upstream_id.trim(),
        context_window: wholeNumber(form.context_window),
        max_output_tokens: wholeNumber(form.max_output_tokens),
        capabilities: [...capabilities],
        aliases: listOf(form.aliases),
        substitutes,
        retires_on: form.retires_on,
        parameter_rules: newRules,
        state: form.state,
        ...(!model || newPrice ? { prices, ...(form.source.trim() ? { price_source: form.source.trim() } : {}) } : {}),
      };
      return model
        ? patch(`/api/admin/models/${encodeURIComponent(model.id)}`, body, etagOf(model.revision))
        : post("/api/admin/models", { id: form.id.trim(), ...body });
    },
    onSuccess: () => {
      toast(model ? `${form.name} is saved.` : `${form.name} is added.`);
      configChanged();
      onClose();
    },
  });
  const remove = useMutation({
    mutationFn: () => del(`/api/admin/models/${encodeURIComponent(model!.id)}`, etagOf(model!.revision)),
    onSuccess: () => {
      toast(`${form.name} is deleted.`);
      configChanged();
      onClose();
    },
    onError: () => setRemoving(false),
  });
  const ready = !!prices && !!newRules && form.name.trim() && form.provider && form.upstream_id.trim() && (model || form.id.trim());
  const error = save.error ?? remove.error;
  const at = (field: string) => fieldError(save.error, field);

  return (
    <Dialog
      open
      onClose={onClose}
      side="right"
      title={model ? model.name : "Add a model"}
      description={model ? model.id : "Callable at once when it has a provider with a key and a price."}
      footer={
        <>
          {model && (
            <Button variant="danger" className="mr-auto" onClick={() => setRemoving(true)}>
              Delete
            </Button>
          )}
          <Button onClick={onClose}>Cancel</Button>
          <Button variant="primary" disabled={!ready} busy={save.isPending} onClick={() => save.mutate()}>
            {newPrice ? "Save with new price" : "Save"}
          </Button>
        </>
      }
    >
      <form
        className="flex flex-col gap-5"
        onSubmit={(e) => {
          e.preventDefault();
          if (ready) save.mutate();
        }}
      >
        <SaveError
          error={error}
          onReload={() => {
            configChanged();
            onClose();
          }}
        />
        {!model && <TextField label="Id" hint="How programs name it, for example gpt-4o" value={form.id} error={at("id")} onChange={set("id")} autoFocus required />}
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField label="Name" value={form.name} error={at("name")} onChange={set("name")} required />
          <SelectField label="State" hint="Hidden models answer but are not listed." value={form.state} onChange={set("state")}>
            <option value="active">Active</option>
            <option value="hidden">Hidden</option>
            <option value="disabled">Disabled</option>
          </SelectField>
          <SelectField label="Provider" value={form.provider} error={at("provider")} onChange={set("provider")}>
            <option value="" disabled>
              Choose one
            </option>
            {providers.rows.map((p) => (
              <option key={p.id} value={p.id}>
                {p.name}
              </option>
            ))}
          </SelectField>
          <TextField label="Provider's model id" value={form.upstream_id} error={at("upstream_id")} onChange={set("upstream_id")} required />
          <TextField label="Context window" inputMode="numeric" value={form.context_window} error={at("context_window")} onChange={set("context_window")} />
          <TextField label="Longest answer (tokens)" inputMode="numeric" value={form.max_output_tokens} error={at("max_output_tokens")} onChange={set("max_output_tokens")} />
        </div>
        <TextField label="Other names" hint="Optional, comma between" value={form.aliases} error={at("aliases")} onChange={set("aliases")} />
        <Abilities legend="Abilities" names={abilities} chosen={capabilities} onChange={setCapabilities} />
        <Abilities legend="Instead of chat" hint="For models that do one of these and nothing else." names={specials} chosen={capabilities} onChange={setCapabilities} />
        <Substitutes self={model?.id ?? form.id.trim()} chosen={substitutes} error={at("substitutes")} onChange={setSubstitutes} />
        <TextField
          label="Retires on"
          type="date"
          hint="The day the provider takes it away, if one is announced"
          value={form.retires_on}
          error={at("retires_on")}
          onChange={set("retires_on")}
        />
        <RuleFields form={rules} error={at("parameter_rules")} onChange={setRules} />
        <PriceFields texts={texts} onChange={setTexts} />
        {at("prices") && <p className="text-[13px] text-danger">{at("prices")}</p>}
        {(newPrice || !model) && (
          <TextField
            label="Where the price comes from"
            hint={newPrice ? "This adds a price version. Answers being written keep the old one." : "Optional"}
            value={form.source}
            onChange={set("source")}
          />
        )}
        {model && <History id={model.id} />}
        <button type="submit" hidden />
      </form>
      <Confirm
        open={removing}
        onClose={() => setRemoving(false)}
        onConfirm={() => remove.mutate()}
        busy={remove.isPending}
        title={`Delete ${model?.name}?`}
        text="Nobody can ask it any more. Past answers and receipts stay. Disabling it does the same and is easier to undo."
        action="Delete model"
      />
    </Dialog>
  );
}
