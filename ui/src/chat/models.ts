import { useQuery } from "@tanstack/react-query";
import { create } from "zustand";
import { get } from "../api/client";
import type { Model, ModelList } from "../api/types";

export const maxTeam = 6;
const stored = "om.team";

const specials = ["embeddings", "image_generation", "transcription"];

/** Models that embed, draw or transcribe do that only, and cannot be asked. */
export const chats = (model: Model) => !model.capabilities?.some((name) => specials.includes(name));

const onlyChat = (list: ModelList): ModelList => ({ ...list, items: list.items.filter(chats) });

/** The models that can be asked in a chat. */
export function useModels() {
  return useQuery({ queryKey: ["models"], queryFn: ({ signal }) => get<ModelList>("/api/models", signal), select: onlyChat, staleTime: 300_000 });
}

interface Team {
  /** undefined until a choice was made or loaded */
  ids?: string[];
}

function load(): string[] | undefined {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(stored) ?? "null");
    return Array.isArray(list) && list.length > 0 ? list.map(String).slice(0, maxTeam) : undefined;
  } catch {
    return undefined;
  }
}

const useTeamStore = create<Team>(() => ({ ids: load() }));

export function setTeam(ids: string[]) {
  const list = [...new Set(ids)].slice(0, maxTeam);
  useTeamStore.setState({ ids: list });
  try {
    localStorage.setItem(stored, JSON.stringify(list));
  } catch {
    // Without storage the choice lasts until the page goes away.
  }
}

/** demo when there is nothing else, otherwise the first few real models. */
export function defaultTeam(models: Model[]): string[] {
  const ready = models.filter((m) => m.available);
  const real = ready.filter((m) => m.provider !== "demo");
  return (real.length > 0 ? real : ready).slice(0, 3).map((m) => m.id);
}

/** The chosen models that can be asked right now, in order. */
export function useTeam(models: Model[] | undefined): Model[] {
  const ids = useTeamStore((s) => s.ids);
  if (!models) return [];
  const byId = new Map(models.map((m) => [m.id, m]));
  const pick = (list: string[]) => list.flatMap((id) => byId.get(id) ?? []).filter((m) => m.available);
  // A kept team whose models are all gone falls back; an emptied one stays empty.
  const chosen = ids ? pick(ids) : [];
  return chosen.length > 0 || ids?.length === 0 ? chosen : pick(defaultTeam(models));
}

export const strand = (index: number) => `var(--s${(index % 6) + 1})`;

export const reasons: Record<string, string> = {
  needs_key: "Needs key",
  provider_disabled: "Provider is off",
  not_in_plan: "Not in your plan",
};

export const can = (model: Model, capability: string) => model.capabilities?.includes(capability) ?? false;
