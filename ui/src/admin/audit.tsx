import { useState } from "react";
import { ClipboardList } from "lucide-react";
import type { AuditRow } from "../api/admin-types";
import { Empty, Time } from "../ui/bits";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { fullTime } from "../ui/format";
import { Table } from "../ui/table";
import { Loader, Mono, useAdminList } from "./common";
import { Heading } from "./heading";

/** Rows hold JSON, as text or as it is. */
function pretty(value: unknown): string {
  if (value === undefined || value === null || value === "") return "nothing";
  try {
    return JSON.stringify(typeof value === "string" ? JSON.parse(value) : value, null, 2);
  } catch {
    return String(value);
  }
}

export default function Audit() {
  const list = useAdminList<AuditRow>("audit", { limit: 50 });
  const [open, setOpen] = useState<AuditRow>();
  return (
    <>
      <Heading title="Audit" description="Who changed what, and from where. Rows are only ever added." />
      <Loader list={list}>
        {list.rows.length === 0 ? (
          <Empty title="Nothing yet" icon={<ClipboardList />}>Every change by an administrator is written down here, with before and after.</Empty>
        ) : (
          <Table
            label="Audit"
            rows={list.rows}
            rowKey={(r) => r.id}
            more={list.more}
            loadingMore={list.isFetchingNextPage}
            columns={[
              { head: "When", cell: (r) => <span className="text-muted"><Time iso={r.created_at} /></span> },
              { head: "Who", cell: (r) => r.actor },
              { head: "What", cell: (r) => <Mono>{r.action}</Mono> },
              { head: "Object", cell: (r) => r.object },
              { head: "From", cell: (r) => <span className="text-muted">{r.address}</span> },
              { head: "Actions", hideHead: true, right: true, cell: (r) => <Button size="sm" variant="ghost" aria-label={`Details of ${r.action} ${r.object}`} onClick={() => setOpen(r)}>Details</Button> },
            ]}
          />
        )}
      </Loader>
      {open && (
        <Dialog open onClose={() => setOpen(undefined)} title={`${open.action} · ${open.object}`} description={`${open.actor}, ${fullTime(open.created_at)}`} wide>
          <div className="grid gap-3 sm:grid-cols-2">
            {(["before", "after"] as const).map((side) => (
              <section key={side} className="min-w-0">
                <h3 className="mb-1 text-sm font-semibold capitalize">{side}</h3>
                <pre tabIndex={0} role="region" aria-label={side} className="max-h-96 overflow-auto rounded-xl border border-line bg-[var(--code-bg)] p-3 font-mono text-xs">
                  {pretty(open[side])}
                </pre>
              </section>
            ))}
          </div>
        </Dialog>
      )}
    </>
  );
}
