import { useQuery } from "@tanstack/react-query";
import type { Upstream, UpstreamTarget } from "../api/admin-types";
import { get } from "../api/client";
import type { Page } from "../api/types";
import { outcomeOf } from "../chat/faults";
import { Badge, Time } from "../ui/bits";
import { count } from "../ui/format";
import type { Fault } from "./alerts";
import { Mono } from "./common";

export function useUpstreams() {
  return useQuery({
    queryKey: ["admin", "upstreams"],
    queryFn: async ({ signal }) => (await get<Page<Upstream>>("/api/admin/upstreams", signal)).items ?? [],
    refetchInterval: 5000,
    staleTime: 0,
  });
}

/** "for 42 s", counted from now; empty when the time has passed. */
export function coolsFor(until: string | undefined, now = Date.now()): string {
  const seconds = Math.ceil((Date.parse(until ?? "") - now) / 1000);
  if (!(seconds > 0)) return "";
  return seconds < 120 ? `for ${seconds} s` : `for ${Math.round(seconds / 60)} min`;
}

/** In words what state a key or a model is in. */
export function standing(target: UpstreamTarget, now = Date.now()): { tone: "ok" | "warn" | "bad"; text: string } {
  const cooling = coolsFor(target.cooling_until, now);
  if (target.state === "open") return { tone: "bad", text: cooling ? `left alone ${cooling}` : "left alone" };
  if (target.state === "half_open") return { tone: "warn", text: "being tried again" };
  if (cooling) return { tone: "warn", text: `resting ${cooling}` };
  if (target.fault) return { tone: "bad", text: "faulty" };
  return { tone: "ok", text: "works" };
}

const nameOf = (t: UpstreamTarget) => [t.model, t.key ? `key ${t.key}` : ""].filter(Boolean).join(", ") || "all models";

function Targets({ name, targets }: { name: string; targets: UpstreamTarget[] }) {
  return (
    <ul aria-label={`Keys and models of ${name} that need attention`} className="divide-y divide-line rounded-xl border border-line text-[13px]">
      {targets.map((t) => {
        const { tone, text } = standing(t);
        return (
          <li key={`${t.model} ${t.key}`} className="px-3 py-2">
            <div className="flex flex-wrap items-center gap-x-2 gap-y-1">
              <Mono>{nameOf(t)}</Mono>
              <Badge tone={tone}>{text}</Badge>
              {t.fault && <span className="text-danger">{outcomeOf(t.fault)}</span>}
              {!!t.failures && <span className="text-muted">{count(t.failures)}{t.calls ? ` of ${count(t.calls)} calls` : ""} failed in the last 30 s</span>}
              {t.since && <span className="text-muted">since <Time iso={t.since} /></span>}
            </div>
            {t.detail && <p className="mt-0.5 font-mono text-xs break-words text-soft">{t.detail}</p>}
          </li>
        );
      })}
    </ul>
  );
}

/** How busy a provider is, and which of its keys and models are left alone for now. */
export function UpstreamState({ name, upstream }: { name: string; upstream: Upstream | undefined }) {
  if (!upstream) return null;
  const targets = upstream.targets ?? [];
  const odd = targets.filter((t) => standing(t).tone !== "ok");
  return (
    <>
      <p className="text-[13px] text-muted tabular-nums">
        {count(upstream.running)} running{upstream.places > 0 && ` of ${count(upstream.places)}`}
        {" · "}
        <span className={upstream.waiting > 0 ? "font-medium text-warn" : ""}>{count(upstream.waiting)} waiting</span>
        {targets.length > 0 && odd.length === 0 && " · every key and model works"}
      </p>
      {odd.length > 0 && <Targets name={name} targets={odd} />}
    </>
  );
}

/** What is wrong with a provider, next to it. */
export function Faults({ faults }: { faults: Fault[] }) {
  if (faults.length === 0) return null;
  return (
    <ul aria-label="Alerts of this provider" className="flex flex-col gap-2">
      {faults.map((f) => {
        const bad = f.severity === "error";
        return (
          <li key={f.key} className={`rounded-xl px-3 py-2 text-[13px] ${bad ? "bg-danger-soft" : "bg-warn-soft"}`}>
            <p className={`font-medium ${bad ? "text-danger" : "text-warn"}`}>{f.text}</p>
            {f.detail && <p className="mt-0.5 font-mono text-xs break-words text-soft">The provider said: {f.detail}</p>}
            <p className="text-soft">
              Since <Time iso={f.since} />
              {(f.count ?? 0) > 1 && <>, {count(f.count)} times{f.last && <>, last <Time iso={f.last} /></>}</>}
              {f.instances > 1 && `, on ${f.instances} instances`}
            </p>
          </li>
        );
      })}
    </ul>
  );
}
