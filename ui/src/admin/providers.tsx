import { useMutation } from "@tanstack/react-query";
import { Plug, Plus } from "lucide-react";
import { useEffect, useState } from "react";
import { useLocation } from "react-router";
import { asProblem, etagOf, patch, post } from "../api/client";
import type { Provider, TestResult } from "../api/admin-types";
import { Badge, Empty } from "../ui/bits";
import { Button } from "../ui/button";
import { Switch } from "../ui/field";
import { toast, toastProblem } from "../ui/toast";
import { useAlerts } from "./alerts";
import { configChanged, Loader, useAdminList } from "./common";
import { Heading } from "./heading";
import { ProviderEditor } from "./provider-editor";
import { Faults, UpstreamState, useUpstreams } from "./upstreams";

function TestButton({ provider }: { provider: Provider }) {
  const test = useMutation({ mutationFn: () => post<TestResult>(`/api/admin/providers/${encodeURIComponent(provider.id)}/test`, {}) });
  const result: TestResult | undefined = test.error ? { ok: false, message: asProblem(test.error).message } : test.data;
  return (
    <div className="flex min-w-0 flex-wrap items-center gap-2">
      <Button size="sm" busy={test.isPending} onClick={() => test.mutate()} aria-label={`Test ${provider.name}`}>
        {test.isPending ? "Testing…" : "Test"}
      </Button>
      <span role="status" className="min-w-0 text-[13px]">
        {result && (result.ok ? (
          <span className="text-ok">Works: {result.model} answered in {result.latency_ms} ms</span>
        ) : (
          <span className="text-danger">{result.message ?? result.code ?? "It did not answer."}</span>
        ))}
      </span>
    </div>
  );
}

/** An address such as /admin/providers#openai brings that provider into view. */
function useNamed(loaded: boolean) {
  const { hash, key } = useLocation();
  useEffect(() => {
    if (!loaded || hash.length < 2) return;
    const item = document.getElementById(`provider-${hash.slice(1)}`);
    item?.scrollIntoView({ block: "center" });
    item?.focus({ preventScroll: true });
  }, [loaded, hash, key]);
}

export default function Providers() {
  const list = useAdminList<Provider>("providers", { limit: 200 });
  const alerts = useAlerts();
  const upstreams = useUpstreams();
  useNamed(list.rows.length > 0);
  const [editing, setEditing] = useState<Provider | "new">();
  const toggle = useMutation({
    mutationFn: (p: Provider) => patch(`/api/admin/providers/${encodeURIComponent(p.id)}`, { enabled: !p.enabled }, etagOf(p.revision)),
    onSuccess: (_, p) => toast(`${p.name} is ${p.enabled ? "off" : "on"} now.`),
    onError: toastProblem,
    onSettled: configChanged,
  });

  return (
    <>
      <Heading title="Providers" description="Where models come from. Keys are kept encrypted and never shown again, only their last four characters.">
        <Button variant="primary" onClick={() => setEditing("new")}>
          <Plus className="size-4" /> Add provider
        </Button>
      </Heading>
      <Loader list={list}>
        {list.rows.length === 0 && <Empty title="No providers" icon={<Plug />}>Add one: any server that speaks the OpenAI, Anthropic or Gemini protocol.</Empty>}
        <ul className="grid items-start gap-3 xl:grid-cols-2">
          {list.rows.map((p) => (
            <li key={p.id} id={`provider-${p.id}`} tabIndex={-1} className="flex flex-col gap-3 rounded-2xl border border-line bg-surface p-4">
              <div className="flex items-start justify-between gap-3">
                <div className="min-w-0">
                  <h2 className="flex flex-wrap items-center gap-2 font-semibold">
                    {p.name}
                    {p.needs_key ? <Badge tone="warn">needs key</Badge> : p.enabled ? <Badge tone="ok">ready</Badge> : <Badge>off</Badge>}
                  </h2>
                  <p className="truncate font-mono text-xs text-muted">{p.base_url || "built in"}</p>
                </div>
                <Switch hideLabel label={`${p.name} enabled`} checked={p.enabled} disabled={toggle.isPending} onChange={() => toggle.mutate(p)} />
              </div>
              <Faults faults={(alerts.data ?? []).filter((f) => f.provider === p.id)} />
              <UpstreamState name={p.name} upstream={upstreams.data?.find((u) => u.provider === p.id)} />
              <div className="flex flex-wrap items-center justify-between gap-2">
                <TestButton provider={p} />
                <div className="flex items-center gap-3">
                  <span className="text-[13px] text-muted">{p.keys?.length ? p.keys.map((k) => `••••${k.last4}`).join(", ") : p.keyless ? "needs no key" : "no key"}</span>
                  <Button size="sm" onClick={() => setEditing(p)} aria-label={`${p.needs_key ? "Add key" : "Edit"}: ${p.name}`}>
                    {p.needs_key ? "Add key" : "Edit"}
                  </Button>
                </div>
              </div>
            </li>
          ))}
        </ul>
      </Loader>
      {editing && <ProviderEditor key={editing === "new" ? "new" : editing.id} provider={editing === "new" ? undefined : editing} onClose={() => setEditing(undefined)} />}
    </>
  );
}
