import { Check, ChevronDown, Plus, X } from "lucide-react";
import { useMemo, useState } from "react";
import type { Model } from "../api/types";
import { Badge, Empty } from "../ui/bits";
import { Button } from "../ui/button";
import { cx } from "../ui/cx";
import { Dialog } from "../ui/dialog";
import { SearchInput } from "../ui/field";
import { tokens } from "../ui/format";
import { credits } from "../ui/money";
import { can, maxTeam, reasons, setTeam, strand } from "./models";

/** The chosen models as chips, each in the colour of its answer. */
export function TeamChips({ team, onOpen }: { team: Model[]; onOpen: () => void }) {
  return (
    <>
    <button
      type="button"
      onClick={onOpen}
      className="flex h-9 min-w-0 items-center gap-2 rounded-full border border-line bg-surface px-3.5 text-sm font-medium sm:hidden touch:h-11"
    >
      {team.map((m, i) => (
        <span key={m.id} className="-ml-1 size-2.5 shrink-0 rounded-full first:ml-0" style={{ background: strand(i) }} />
      ))}
      <span className="truncate">{team.length > 1 ? `${team.length} models` : (team[0]?.name ?? "Choose models")}</span>
      <span className="sr-only">chosen: {team.map((m) => m.name).join(", ") || "none"}</span>
      <ChevronDown className="size-4 shrink-0 text-muted" aria-hidden="true" />
    </button>
    <div role="group" aria-label="Models that will answer" className="hidden min-w-0 sm:flex items-center gap-1.5 overflow-x-auto p-1 [scrollbar-width:none]">
      {team.map((model, i) => (
        <span key={model.id} className="flex h-8 shrink-0 items-center gap-2 rounded-full border border-line bg-surface pl-3 text-[13px] font-medium touch:h-11">
          <span className="size-2 rounded-full" style={{ background: strand(i) }} aria-hidden="true" />
          {model.name}
          <button
            type="button"
            aria-label={`Remove ${model.name}`}
            title={`Remove ${model.name}`}
            onClick={() => setTeam(team.filter((m) => m.id !== model.id).map((m) => m.id))}
            className="flex h-full items-center rounded-full pr-2.5 pl-0.5 text-muted hover:text-text touch:pr-3.5"
          >
            <X className="size-3.5" />
          </button>
        </span>
      ))}
      <Button size="sm" variant={team.length ? "ghost" : "primary"} onClick={onOpen} className="rounded-full">
        <Plus className="size-4" /> {team.length ? "Models" : "Choose models"}
      </Button>
    </div>
    </>
  );
}

const abilities = [
  ["images", "images"],
  ["reasoning", "reasoning"],
  ["tools", "tools"],
] as const;

function Row({ model, at, full, onToggle }: { model: Model; at: number; full: boolean; onToggle: () => void }) {
  const chosen = at >= 0;
  const off = !model.available || (full && !chosen);
  return (
    <li>
      <button
        type="button"
        role="checkbox"
        aria-checked={chosen}
        aria-disabled={off}
        onClick={() => !off && onToggle()}
        className={cx(
          "flex w-full items-center gap-3 rounded-xl px-3 py-2 text-left transition touch:min-h-12",
          off ? "cursor-not-allowed" : "hover:bg-hover",
          chosen && "bg-panel",
        )}
      >
        <span
          className={cx("flex size-5 shrink-0 items-center justify-center rounded-md border", chosen ? "border-transparent text-on-ink" : "border-line-strong")}
          style={chosen ? { background: "var(--ink)" } : undefined}
        >
          {chosen && <Check className="size-3.5" aria-hidden="true" />}
        </span>
        <span className="min-w-0 flex-1">
          <span className={cx("flex flex-wrap items-center gap-x-2 gap-y-1 text-sm font-medium", !model.available && "text-muted")}>
            {chosen && <span className="size-2 rounded-full" style={{ background: strand(at) }} aria-hidden="true" />}
            {model.name}
            {!model.available && <Badge tone="warn">{reasons[model.unavailable_reason ?? ""] ?? "Not available"}</Badge>}
          </span>
          <span className="block truncate text-[13px] text-muted">
            {tokens(model.context_window)} context
            {abilities.filter(([key]) => can(model, key)).map(([, name]) => ` · ${name}`)}
          </span>
        </span>
        <span className="shrink-0 text-right text-xs leading-snug text-muted tabular-nums">
          <span className="block">
            <span className="text-soft">{credits(model.prices.input_nano_usd ?? 0)}</span> in
          </span>
          <span className="block">
            <span className="text-soft">{credits(model.prices.output_nano_usd ?? 0)}</span> out
          </span>
        </span>
      </button>
    </li>
  );
}

interface Props {
  open: boolean;
  onClose: () => void;
  models: Model[];
  team: Model[];
}

export function ModelPicker({ open, onClose, models, team }: Props) {
  const [q, setQ] = useState("");
  const groups = useMemo(() => {
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    const found = models.filter((m) => words.every((w) => `${m.name} ${m.id} ${m.provider_name}`.toLowerCase().includes(w)));
    const byProvider = new Map<string, Model[]>();
    for (const m of found) byProvider.set(m.provider_name || m.provider, [...(byProvider.get(m.provider_name || m.provider) ?? []), m]);
    return [...byProvider].sort(([, a], [, b]) => Number(b.some((m) => m.available)) - Number(a.some((m) => m.available)));
  }, [models, q]);
  const ids = team.map((m) => m.id);
  const toggle = (id: string) => setTeam(ids.includes(id) ? ids.filter((i) => i !== id) : [...ids, id]);

  return (
    <Dialog
      open={open}
      onClose={onClose}
      title="Choose models"
      description={`Up to ${maxTeam} answer side by side. Prices are credits per million tokens.`}
      wide
      footer={
        <>
          <span className="mr-auto self-center text-sm text-muted" role="status">
            {ids.length} of {maxTeam} chosen
          </span>
          <Button variant="primary" onClick={onClose}>
            Done
          </Button>
        </>
      }
    >
      <div className="sticky top-0 z-10 -mx-1 bg-raised px-1 pb-3">
        <SearchInput label="Search models and providers" value={q} onChange={(e) => setQ(e.target.value)} autoFocus />
      </div>
      {groups.map(([provider, list]) => (
        <section key={provider} aria-label={provider} className="mb-3">
          <h3 className="px-3 pb-1 text-xs font-semibold text-muted">{provider}</h3>
          <ul className="flex flex-col gap-0.5">
            {list.map((m) => (
              <Row key={m.id} model={m} at={ids.indexOf(m.id)} full={ids.length >= maxTeam} onToggle={() => toggle(m.id)} />
            ))}
          </ul>
        </section>
      ))}
      {groups.length === 0 && <Empty title="No model matches">Try a shorter word, or the provider's name.</Empty>}
    </Dialog>
  );
}
