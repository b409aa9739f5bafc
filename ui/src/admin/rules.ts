import type { ParameterRules, Range } from "../api/admin-types";

/** One row of the form: a parameter and the values it is kept within. */
export interface ClampRow {
  name: string;
  min: string;
  max: string;
}

export interface RulesForm {
  clamps: ClampRow[];
  reasoning: string;
  cancelBills: boolean;
}

export function rulesForm(rules: ParameterRules | undefined): RulesForm {
  return {
    clamps: Object.entries(rules?.clamp ?? {}).map(([name, range]) => ({ name, min: String(range.min), max: String(range.max) })),
    reasoning: rules?.reasoning ?? "",
    cancelBills: rules?.cancel_bills ?? false,
  };
}

const number = /^\s*-?\d+(\.\d+)?\s*$/;

/** What is wrong with a row, in words; empty when nothing is. A row without anything in it is left out. */
export function clampFault(row: ClampRow, all: ClampRow[]): string {
  if (!row.name.trim() && !row.min.trim() && !row.max.trim()) return "";
  if (!row.name.trim()) return "Name the parameter";
  if (!number.test(row.min) || !number.test(row.max)) return "Both ends have to be numbers";
  if (Number(row.min) > Number(row.max)) return "The smallest is above the largest";
  if (all.some((other) => other !== row && other.name.trim() === row.name.trim())) return "This parameter is named twice";
  return "";
}

/** The rules to save, with everything that the form does not show as it was; undefined while a row is wrong. */
export function rulesOf(form: RulesForm, before: ParameterRules | undefined): ParameterRules | undefined {
  if (form.clamps.some((row) => clampFault(row, form.clamps))) return undefined;
  const clamp: Record<string, Range> = {};
  for (const row of form.clamps) if (row.name.trim()) clamp[row.name.trim()] = { min: Number(row.min), max: Number(row.max) };
  return { ...before, clamp: Object.keys(clamp).length ? clamp : null, reasoning: form.reasoning, cancel_bills: form.cancelBills };
}

/** A retirement day in words, with a warning from 60 days before on; undefined when there is none. `now` is in milliseconds. */
export function retirement(day: string | undefined, now = Date.now()): { text: string; soon: boolean } | undefined {
  if (!day) return undefined;
  const left = Math.ceil((Date.parse(`${day}T00:00:00Z`) - now) / 86_400_000);
  if (!Number.isFinite(left)) return undefined;
  if (left <= 0) return { text: `retired on ${day}`, soon: true };
  return { text: `retires on ${day}`, soon: left <= 60 };
}
