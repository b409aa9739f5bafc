import { Plus, X } from "lucide-react";
import { useId } from "react";
import { Button, IconButton } from "../ui/button";
import { inputLook, SelectField } from "../ui/field";
import { clampFault, type ClampRow, type RulesForm } from "./rules";

function Clamp({ row, index, fault, onChange, onRemove }: { row: ClampRow; index: number; fault: string; onChange: (row: ClampRow) => void; onRemove: () => void }) {
  const note = useId();
  const input = (key: keyof ClampRow, label: string) => (
    <input
      aria-label={`${label} of range ${index + 1}`}
      aria-invalid={fault ? true : undefined}
      aria-describedby={fault ? note : undefined}
      placeholder={label}
      inputMode={key === "name" ? undefined : "decimal"}
      autoComplete="off"
      spellCheck={false}
      value={row[key]}
      onChange={(e) => onChange({ ...row, [key]: e.target.value })}
      className={`${inputLook} min-w-0`}
    />
  );
  return (
    <li>
      <div className="grid grid-cols-[minmax(0,2fr)_minmax(0,1fr)_minmax(0,1fr)_auto] items-center gap-2">
        {input("name", "Parameter")}
        {input("min", "Smallest")}
        {input("max", "Largest")}
        <IconButton label={`Remove range ${index + 1}${row.name ? `, ${row.name}` : ""}`} onClick={onRemove}>
          <X />
        </IconButton>
      </div>
      {fault && <p id={note} className="mt-1 text-[13px] text-danger">{fault}</p>}
    </li>
  );
}

export function RuleFields({ form, error, onChange }: { form: RulesForm; error?: string; onChange: (form: RulesForm) => void }) {
  const { clamps } = form;
  const setRows = (rows: ClampRow[]) => onChange({ ...form, clamps: rows });
  return (
    <fieldset className="flex flex-col gap-3">
      <legend className="text-sm font-semibold">Parameters</legend>
      <div>
        <p className="mb-2 text-[13px] text-muted">A value outside its range is sent as the nearest end, and the receipt says so.</p>
        {clamps.length > 0 && (
          <ul aria-label="Ranges of parameters" className="mb-2 flex flex-col gap-2">
            {clamps.map((row, i) => (
              <Clamp
                key={i}
                row={row}
                index={i}
                fault={clampFault(row, clamps)}
                onChange={(next) => setRows(clamps.map((r, j) => (j === i ? next : r)))}
                onRemove={() => setRows(clamps.filter((_, j) => j !== i))}
              />
            ))}
          </ul>
        )}
        <Button size="sm" onClick={() => setRows([...clamps, { name: "", min: "", max: "" }])}>
          <Plus className="size-3.5" /> Add a range
        </Button>
      </div>
      <SelectField
        label="How it takes reasoning effort"
        value={form.reasoning}
        onChange={(e) => onChange({ ...form, reasoning: e.target.value })}
      >
        <option value="">As the word itself, or not at all</option>
        <option value="budget">Budget: a number of tokens</option>
        <option value="effort">Effort: a word of its own</option>
        <option value="level">Level: a word of its own</option>
        <option value="content">The word itself, and earlier reasoning comes back</option>
      </SelectField>
      <label className="flex items-start gap-2 text-sm touch:min-h-11">
        <input
          type="checkbox"
          className="mt-0.5 size-4 accent-[var(--accent)]"
          checked={form.cancelBills}
          onChange={(e) => onChange({ ...form, cancelBills: e.target.checked })}
        />
        <span>
          The provider bills the whole answer even when it is stopped
          <span className="block text-[13px] text-muted">Stopping then saves time, not money.</span>
        </span>
      </label>
      {error && <p className="text-[13px] text-danger">{error}</p>}
    </fieldset>
  );
}
