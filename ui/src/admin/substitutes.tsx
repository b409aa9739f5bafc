import { ArrowDown, ArrowUp, X } from "lucide-react";
import { useRef } from "react";
import type { AdminModel } from "../api/admin-types";
import { IconButton } from "../ui/button";
import { SelectField } from "../ui/field";
import { useAdminList } from "./common";

const most = 8;

interface Props {
  /** Id of the model itself, which cannot stand in for itself. */
  self: string;
  chosen: string[];
  error?: string;
  onChange: (ids: string[]) => void;
}

/** The models that may answer when this one cannot, in order. */
export function Substitutes({ self, chosen, error, onChange }: Props) {
  const models = useAdminList<AdminModel>("models", { limit: 500 });
  const list = useRef<HTMLOListElement>(null);
  const names = new Map(models.rows.map((m) => [m.id, m.name]));
  const rest = models.rows.filter((m) => m.id !== self && m.state !== "disabled" && !chosen.includes(m.id));

  /** Keeps the focus on the model that was moved, or near the one that went. */
  const focus = (index: number, kind: string) => {
    requestAnimationFrame(() => {
      const item = list.current?.children[Math.min(index, (list.current?.children.length ?? 1) - 1)];
      const button = item?.querySelector<HTMLButtonElement>(`button[data-kind="${kind}"]:not(:disabled)`) ?? item?.querySelector<HTMLButtonElement>("button:not(:disabled)");
      button?.focus();
    });
  };
  const move = (from: number, to: number) => {
    const next = [...chosen];
    next.splice(to, 0, ...next.splice(from, 1));
    onChange(next);
    focus(to, to < from ? "up" : "down");
  };

  return (
    <fieldset>
      <legend className="text-sm font-semibold">Substitutes</legend>
      <p className="mb-2 text-[13px] text-muted">They answer in this order when the model cannot. People see who answered and pay the cheaper price.</p>
      {chosen.length > 0 && (
        <ol ref={list} aria-label="Substitutes in order" className="mb-2 divide-y divide-line rounded-xl border border-line">
          {chosen.map((id, i) => {
            const name = names.get(id) ?? id;
            return (
              <li key={id} className="flex items-center gap-1 py-1 pr-1 pl-3 text-sm">
                <span className="w-5 text-muted tabular-nums">{i + 1}.</span>
                <span className="min-w-0 flex-1 truncate">{name}</span>
                <IconButton label={`Move ${name} up`} data-kind="up" disabled={i === 0} onClick={() => move(i, i - 1)}>
                  <ArrowUp />
                </IconButton>
                <IconButton label={`Move ${name} down`} data-kind="down" disabled={i === chosen.length - 1} onClick={() => move(i, i + 1)}>
                  <ArrowDown />
                </IconButton>
                <IconButton
                  label={`Remove ${name}`}
                  data-kind="remove"
                  onClick={() => {
                    onChange(chosen.filter((c) => c !== id));
                    focus(i, "remove");
                  }}
                >
                  <X />
                </IconButton>
              </li>
            );
          })}
        </ol>
      )}
      <SelectField
        label="Add a substitute"
        value=""
        error={error}
        hint={chosen.length >= most ? `${most} is the most there can be.` : undefined}
        disabled={chosen.length >= most || rest.length === 0}
        onChange={(e) => e.target.value && onChange([...chosen, e.target.value])}
      >
        <option value="">Choose a model</option>
        {rest.map((m) => (
          <option key={m.id} value={m.id}>
            {m.name}
          </option>
        ))}
      </SelectField>
    </fieldset>
  );
}
