import { useQuery } from "@tanstack/react-query";
import { create } from "zustand";
import type { Alert } from "../api/admin-types";
import { get } from "../api/client";
import type { Page } from "../api/types";

/** One fault, however many instances report it. */
export interface Fault extends Alert {
  key: string;
  instances: number;
}

/** Joins what several instances report about the same thing; errors come first. */
export function faultsOf(alerts: Alert[]): Fault[] {
  const faults = new Map<string, Fault>();
  const places = new Map<string, Set<string | undefined>>();
  for (const alert of alerts) {
    const key = [alert.provider, alert.model, alert.code].join(" ");
    const at = places.get(key) ?? new Set();
    places.set(key, at.add(alert.instance));
    const known = faults.get(key);
    if (!known) {
      faults.set(key, { ...alert, key, instances: 1, count: alert.count ?? 1 });
      continue;
    }
    known.instances = at.size;
    known.count = (known.count ?? 0) + (alert.count ?? 1);
    if (alert.severity === "error") known.severity = "error";
    if (alert.since < known.since) known.since = alert.since;
    if ((alert.last ?? "") > (known.last ?? "")) Object.assign(known, { last: alert.last, detail: alert.detail ?? known.detail });
  }
  const rank = (f: Fault) => (f.severity === "error" ? 0 : 1);
  return [...faults.values()].sort((a, b) => rank(a) - rank(b) || (a.since < b.since ? 1 : -1));
}

/** The faults that were not dismissed. One that began anew after that shows again. */
export const shownFaults = (faults: Fault[], dismissed: Record<string, string>) => faults.filter((f) => !(f.key in dismissed) || f.since > dismissed[f.key]!);

export function useAlerts() {
  return useQuery({
    queryKey: ["admin", "alerts"],
    queryFn: async ({ signal }) => faultsOf((await get<Page<Alert>>("/api/admin/alerts", signal)).items ?? []),
    refetchInterval: 15_000,
    staleTime: 0,
  });
}

const stored = "om.alerts";

function load(): Record<string, string> {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(stored) ?? "{}");
    return kept && typeof kept === "object" ? (kept as Record<string, string>) : {};
  } catch {
    return {};
  }
}

/** What was dismissed in this tab, with the beginning of the fault. */
export const useDismissed = create<Record<string, string>>(load);

export function dismissFault(fault: Fault) {
  useDismissed.setState({ [fault.key]: fault.since });
  try {
    sessionStorage.setItem(stored, JSON.stringify(useDismissed.getState()));
  } catch {
    // Dismissed until the page goes away then.
  }
}
