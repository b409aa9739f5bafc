import { useQuery } from "@tanstack/react-query";
import type { Instance } from "../api/admin-types";
import { get } from "../api/client";
import type { Page } from "../api/types";
import { useConfig } from "../app/session";
import { Badge, Time } from "../ui/bits";
import { count } from "../ui/format";
import { Table } from "../ui/table";
import { Loader, Mono } from "./common";
import { Heading } from "./heading";

export default function Instances() {
  const list = useQuery({
    queryKey: ["admin", "instances"],
    queryFn: ({ signal }) => get<Page<Instance>>("/api/admin/instances", signal),
    refetchInterval: 5000,
  });
  const config = useConfig();
  const rows = list.data?.items ?? [];
  const newest = Math.max(config.data?.revision ?? 0, ...rows.map((i) => i.revision));
  const same = rows.filter((i) => i.revision === newest).length;
  return (
    <>
      <Heading title="Instances" description="The servers that are running now and the revision each one serves." />
      <Loader list={list}>
        <p className="mb-4 flex items-center gap-2 text-sm">
          <Badge tone={same === rows.length ? "ok" : "warn"}>
            {same}/{rows.length}
          </Badge>
          serve revision {newest}
        </p>
        <Table
          label="Instances"
          rows={rows}
          rowKey={(i) => i.instance}
          columns={[
            { head: "Instance", cell: (i) => <span className="font-medium">{i.instance}</span> },
            { head: "Health", cell: (i) => <Badge tone={i.healthy ? "ok" : "bad"}>{i.healthy ? "healthy" : "not answering"}</Badge> },
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
