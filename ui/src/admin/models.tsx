import { useMutation } from "@tanstack/react-query";
import { Boxes, Plus } from "lucide-react";
import { useState } from "react";
import { etagOf, patch } from "../api/client";
import type { AdminModel } from "../api/admin-types";
import { Badge, Empty } from "../ui/bits";
import { Button } from "../ui/button";
import { SearchInput, Switch } from "../ui/field";
import { tokens } from "../ui/format";
import { dollars } from "../ui/money";
import { Table } from "../ui/table";
import { toast, toastProblem } from "../ui/toast";
import { configChanged, Loader, Mono, useAdminList } from "./common";
import { Heading } from "./heading";
import { ModelEditor } from "./model-editor";
import { retirement } from "./rules";

const tones = { active: "ok", hidden: "warn", disabled: "bad" } as const;
const price = (nano: number | undefined) => (nano === undefined ? <span className="text-muted">none</span> : dollars(nano));

export default function Models() {
  const list = useAdminList<AdminModel>("models", { limit: 500 });
  const [q, setQ] = useState("");
  const [editing, setEditing] = useState<AdminModel | "new">();
  const toggle = useMutation({
    mutationFn: (m: AdminModel) => patch(`/api/admin/models/${encodeURIComponent(m.id)}`, { state: m.state === "active" ? "disabled" : "active" }, etagOf(m.revision)),
    onSuccess: (_, m) => toast(`${m.name} is ${m.state === "active" ? "disabled" : "active"} now.`),
    onError: toastProblem,
    onSettled: configChanged,
  });
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = list.rows.filter((m) => words.every((w) => `${m.name} ${m.id} ${m.provider} ${m.state}`.toLowerCase().includes(w)));

  return (
    <>
      <Heading title="Models & prices" description="What people can ask, and what the provider charges per million tokens. Changes are live everywhere within a second.">
        <SearchInput label="Search models" value={q} onChange={(e) => setQ(e.target.value)} className="!w-56" />
        <Button variant="primary" onClick={() => setEditing("new")}>
          <Plus className="size-4" /> Add model
        </Button>
      </Heading>
      <Loader list={list}>
        {rows.length === 0 ? (
          <Empty title={q ? "No model matches" : "No models yet"} icon={<Boxes />}>
            {q ? "Search by name, id, provider or state." : "Add the first one: pick a provider, name the provider's model and give its prices."}
          </Empty>
        ) : (
          <Table
            label="Models"
            rows={rows}
            rowKey={(m) => m.id}
            more={list.more}
            columns={[
              {
                head: "Model",
                cell: (m) => (
                  <button type="button" onClick={() => setEditing(m)} className="rounded-md text-left">
                    <span className="block font-medium underline decoration-line-strong/50 underline-offset-3 hover:decoration-current">{m.name}</span>
                    <span className="block text-xs text-muted"><Mono>{m.id}</Mono></span>
                  </button>
                ),
              },
              { head: "Provider", cell: (m) => m.provider },
              { head: "Input", right: true, cell: (m) => price(m.prices?.input_nano_usd) },
              { head: "Output", right: true, cell: (m) => price(m.prices?.output_nano_usd) },
              { head: "Context", right: true, cell: (m) => tokens(m.context_window) },
              {
                head: "State",
                cell: (m) => {
                  const end = retirement(m.retires_on);
                  return (
                    <span className="flex flex-wrap items-center gap-1.5">
                      <Badge tone={tones[m.state]}>{m.state}</Badge>
                      {end && (end.soon ? <Badge tone="warn">{end.text}</Badge> : <span className="text-xs whitespace-nowrap text-muted">{end.text}</span>)}
                    </span>
                  );
                },
              },
              {
                head: "On",
                right: true,
                cell: (m) => (
                  <div className="flex justify-end">
                    <Switch hideLabel label={`${m.name} active`} checked={m.state === "active"} disabled={toggle.isPending} onChange={() => toggle.mutate(m)} />
                  </div>
                ),
              },
            ]}
          />
        )}
      </Loader>
      {editing && <ModelEditor key={editing === "new" ? "new" : `${editing.id} ${editing.revision}`} model={editing === "new" ? undefined : editing} onClose={() => setEditing(undefined)} />}
    </>
  );
}
