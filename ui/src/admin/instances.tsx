import { useQuery } from "@tanstack/react-query";
import type { Instances as List } from "../api/admin-types";
import { get } from "../api/client";
import { Badge, Time } from "../ui/bits";
import { count } from "../ui/format";
import { Table } from "../ui/table";
import { Loader, Mono } from "./common";
import { Heading } from "./heading";

export default function Instances() {
  const list = useQuery({
    queryKey: ["admin", "instances"],
    queryFn: ({ signal }) => get<List>("/api/admin/instances", signal),
    refetchInterval: 1000,
  });
  const rows = list.data?.items ?? [];
  const revision = list.data?.revision ?? 0;
  const serving = list.data?.serving ?? 0;
  const rollout = list.data?.rollout;
  return (
    <>
      <Heading title="Instances" description="The servers that are running now and the revision each one serves." />
      <Loader list={list}>
        <p className="mb-4 flex flex-wrap items-center gap-2 text-sm" role="status">
          <Badge tone={serving === rows.length ? "ok" : "warn"}>
            {serving}/{rows.length}
          </Badge>
          on revision {revision}
          {rollout && rollout.revision === revision && rollout.instances > 1 && <span className="text-muted">after {count(rollout.ms)} ms</span>}
        </p>
        <Table
          label="Instances"
          rows={rows}
          rowKey={(i) => i.boot}
          columns={[
            {
              head: "Instance",
              cell: (i) => (
                <>
                  <span className="font-medium">{i.instance}</span>
                  {i.this && rows.length > 1 && <span className="text-muted"> (answers this page)</span>}
                </>
              ),
            },
            {
              head: "Health",
              cell: (i) => (
                <span className="flex flex-wrap items-center gap-2">
                  <Badge tone={!i.healthy ? "bad" : i.problem ? "warn" : "ok"}>{!i.healthy ? "not answering" : i.problem ? "degraded" : "healthy"}</Badge>
                  {i.problem && <span className="text-muted">{i.problem}</span>}
                </span>
              ),
            },
            { head: "Revision", right: true, cell: (i) => <Mono>{i.revision}</Mono> },
            { head: "Open answers", right: true, cell: (i) => count(i.open_answers) },
            { head: "Version", cell: (i) => <span className="text-muted">{i.version}</span> },
            { head: "Started", cell: (i) => <span className="text-muted"><Time iso={i.started_at} /></span> },
          ]}
        />
      </Loader>
    </>
  );
}
