import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get, post } from "../api/client";
import type { Revision, RevisionDiff } from "../api/admin-types";
import { Badge, CopyButton, ErrorBox, SkeletonRows, Time } from "../ui/bits";
import { Button } from "../ui/button";
import { Confirm, Dialog } from "../ui/dialog";
import { plural } from "../ui/format";
import { Table } from "../ui/table";
import { toast, toastProblem } from "../ui/toast";
import { configChanged, Loader, Mono, useAdminList } from "./common";
import { Heading } from "./heading";

const show = (value: unknown) => (value === undefined || value === "" ? "nothing" : typeof value === "string" ? value : JSON.stringify(value));
const tones = { add: "ok", change: "warn", remove: "bad" } as const;

function Compare({ from, to, onClose }: { from: number; to: number; onClose: () => void }) {
  const diff = useQuery({
    queryKey: ["admin", "diff", from, to],
    queryFn: ({ signal }) => get<RevisionDiff>(`/api/admin/revisions/${from}/diff/${to}`, signal),
    staleTime: Infinity,
  });
  return (
    <Dialog open onClose={onClose} title={`Revision ${from} to ${to}`} description="What is different between the two." wide>
      {diff.isPending && <SkeletonRows rows={3} />}
      {diff.error && <ErrorBox error={diff.error} onRetry={() => void diff.refetch()} />}
      {diff.data && !diff.data.changes?.length && <p className="text-sm text-muted">They are the same.</p>}
      <ul className="flex flex-col gap-3">
        {diff.data?.changes?.map((c) => (
          <li key={c.kind + c.id} className="rounded-xl border border-line p-3.5">
            <p className="flex items-center gap-2 text-sm">
              <Badge tone={tones[c.op]}>{c.op}</Badge>
              <span className="text-muted">{c.kind}</span>
              <span className="font-medium">{c.id}</span>
            </p>
            {!!c.fields?.length && (
              <dl className="mt-2 flex flex-col gap-1.5 text-[13px]">
                {c.fields.map((f) => (
                  <div key={f.field} className="grid gap-x-3 sm:grid-cols-[14rem_1fr]">
                    <dt className="break-all text-muted">{f.field}</dt>
                    <dd className="font-mono break-all">
                      {c.op !== "add" && <del className="rounded bg-danger-soft px-1 text-danger no-underline">{show(f.before)}</del>}
                      {c.op === "change" && " → "}
                      {c.op !== "remove" && <ins className="rounded bg-ok-soft px-1 text-ok no-underline">{show(f.after)}</ins>}
                    </dd>
                  </div>
                ))}
              </dl>
            )}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

function Yaml({ revision, onClose }: { revision: number; onClose: () => void }) {
  const detail = useQuery({
    queryKey: ["admin", "revision", revision],
    queryFn: ({ signal }) => get<Revision>(`/api/admin/revisions/${revision}`, signal),
    staleTime: Infinity,
  });
  return (
    <Dialog open onClose={onClose} title={`Revision ${revision}`} description="As YAML, for onemind catalog apply. Keys are never in it." wide footer={detail.data?.yaml && <CopyButton text={detail.data.yaml} label="Copy YAML" showLabel />}>
      {detail.isPending && <SkeletonRows rows={5} />}
      {detail.error && <ErrorBox error={detail.error} onRetry={() => void detail.refetch()} />}
      {detail.data && (
        <pre tabIndex={0} role="region" aria-label={`Revision ${revision} as YAML`} className="overflow-x-auto rounded-xl border border-line bg-[var(--code-bg)] p-4 font-mono text-[13px]">
          {detail.data.yaml}
        </pre>
      )}
    </Dialog>
  );
}

export default function Revisions() {
  const list = useAdminList<Revision>("revisions", { limit: 50 });
  const [picked, setPicked] = useState<number[]>([]);
  const [comparing, setComparing] = useState<[number, number]>();
  const [viewing, setViewing] = useState<number>();
  const [target, setTarget] = useState<number>();
  const rollback = useMutation({
    mutationFn: (n: number) => post<{ revision: number }>(`/api/admin/revisions/${n}/rollback`, {}),
    onSuccess: (result, n) => toast(`Rolled back to ${n}; it is live as revision ${result.revision}.`),
    onError: toastProblem,
    onSettled: () => {
      setTarget(undefined);
      configChanged();
    },
  });
  const pick = (n: number) => setPicked((have) => (have.includes(n) ? have.filter((x) => x !== n) : [...have, n].slice(-2)));
  const [a, b] = [Math.min(...picked), Math.max(...picked)];

  return (
    <>
      <Heading title="Revisions" description="Every change of models, prices, providers, plans and settings, newest first. Choose two to compare.">
        <Button disabled={picked.length !== 2} onClick={() => setComparing([a, b])}>
          {picked.length === 2 ? `Compare ${a} and ${b}` : "Compare two"}
        </Button>
      </Heading>
      <Loader list={list}>
        <Table
          label="Revisions"
          rows={list.rows}
          rowKey={(r) => r.revision}
          more={list.more}
          loadingMore={list.isFetchingNextPage}
          columns={[
            { head: "Pick", hideHead: true, cell: (r) => <input type="checkbox" className="size-4 accent-[var(--accent)]" aria-label={`Choose revision ${r.revision} to compare`} checked={picked.includes(r.revision)} onChange={() => pick(r.revision)} /> },
            { head: "Revision", cell: (r) => <span className="flex items-center gap-2"><Mono>{r.revision}</Mono>{r.current && <Badge tone="ok">live</Badge>}</span> },
            { head: "Note", cell: (r) => r.note || <span className="text-muted">no note</span> },
            { head: "Changes", cell: (r) => <span className="text-muted">{plural(r.changes, "change")}</span> },
            { head: "By", cell: (r) => <span className="text-muted">{r.author}</span> },
            { head: "When", cell: (r) => <span className="text-muted"><Time iso={r.created_at} /></span> },
            {
              head: "Actions",
              hideHead: true,
              right: true,
              cell: (r) => (
                <span className="flex justify-end gap-1.5">
                  <Button size="sm" variant="ghost" aria-label={`View revision ${r.revision}`} onClick={() => setViewing(r.revision)}>View</Button>
                  {!r.current && <Button size="sm" aria-label={`Roll back to revision ${r.revision}`} onClick={() => setTarget(r.revision)}>Roll back</Button>}
                </span>
              ),
            },
          ]}
        />
      </Loader>
      {comparing && <Compare from={comparing[0]} to={comparing[1]} onClose={() => setComparing(undefined)} />}
      {viewing !== undefined && <Yaml revision={viewing} onClose={() => setViewing(undefined)} />}
      <Confirm
        open={target !== undefined}
        onClose={() => setTarget(undefined)}
        onConfirm={() => target !== undefined && rollback.mutate(target)}
        busy={rollback.isPending}
        title={`Roll back to revision ${target}?`}
        text="Models, prices, providers, plans and settings become what they were then, as a new revision, on every instance. Answers being written are not touched. You can roll forward again."
        action="Roll back"
      />
    </>
  );
}
