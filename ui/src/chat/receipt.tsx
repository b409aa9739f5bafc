import { useQuery } from "@tanstack/react-query";
import { Download } from "lucide-react";
import type { ReactNode } from "react";
import { request } from "../api/client";
import type { Attempt, Receipt, SentParameter } from "../api/types";
import { Badge, CopyButton, ErrorBox, SkeletonRows } from "../ui/bits";
import { Dialog } from "../ui/dialog";
import { count, duration } from "../ui/format";
import { exactCredits, nanoToDollars } from "../ui/money";
import { outcomeOf } from "./faults";

const outcomes: Record<string, string> = {
  finished: "Finished",
  stopped: "Stopped by you: only what was delivered is charged",
  failed_midway: "Failed midway: only what was delivered is charged",
  failed: "Failed before it began: free",
  empty: "Empty answer: free",
  length: "Ended at its length or credit limit",
  interrupted: "Interrupted: only what was delivered is charged",
};

const operations: Record<string, string> = { embeddings: "Embeddings", images: "Images", transcriptions: "Transcription" };

const classes = [
  ["input", "Input", "input_nano_usd"],
  ["cached_input", "Cached input", "cached_input_nano_usd"],
  ["cache_write", "Cache write", "cache_write_nano_usd"],
  ["output", "Output", "output_nano_usd"],
  ["reasoning", "Reasoning", "reasoning_nano_usd"],
] as const;

const rules: Record<string, string> = {
  clamp: "kept within what the model takes",
  drop: "left out, it has no effect at this provider",
  set: "set for this model",
  hold: "lowered to what your credits or limits cover",
  dialect: "written the way this provider has it",
};

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex justify-between gap-4 py-1">
      <dt className="text-muted">{name}</dt>
      <dd className="text-right tabular-nums break-words">{children}</dd>
    </div>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title} className="mt-4">
      <h3 className="mb-1.5 text-sm font-semibold">{title}</h3>
      {children}
    </section>
  );
}

function Attempts({ list }: { list: Attempt[] }) {
  return (
    <div role="region" aria-label="Attempts in order" tabIndex={0} className="overflow-x-auto rounded-xl border border-line">
      <table className="w-full text-[13px] tabular-nums">
        <thead>
          <tr className="border-b border-line text-left text-muted">
            <th scope="col" className="px-3 py-1.5 font-medium">Model</th>
            <th scope="col" className="px-3 py-1.5 font-medium">Provider</th>
            <th scope="col" className="px-3 py-1.5 font-medium">Result</th>
            <th scope="col" className="px-3 py-1.5 text-right font-medium">Began</th>
            <th scope="col" className="px-3 py-1.5 text-right font-medium">Took</th>
          </tr>
        </thead>
        <tbody>
          {list.map((a, i) => (
            <tr key={i} className="border-b border-line align-top last:border-0">
              <td className="px-3 py-1.5">{a.model}</td>
              <td className="px-3 py-1.5 whitespace-nowrap">
                {a.provider}
                {!!a.key && <span className="text-muted">, key {a.key}</span>}
              </td>
              <td className="px-3 py-1.5">
                <Badge tone={a.outcome === "ok" ? "ok" : a.outcome === "stopped" ? "neutral" : "bad"}>{outcomeOf(a.outcome)}</Badge>
                {!!a.status && a.outcome !== "ok" && <span className="ml-1.5 text-muted">{a.status}</span>}
                {a.detail && <p className="mt-1 max-w-64 font-mono text-xs break-words text-soft">{a.detail}</p>}
              </td>
              <td className="px-3 py-1.5 text-right whitespace-nowrap">{duration(a.start_ms)}</td>
              <td className="px-3 py-1.5 text-right whitespace-nowrap">{duration(a.took_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Parameters({ list }: { list: SentParameter[] }) {
  return (
    <ul className="divide-y divide-line rounded-xl border border-line text-[13px]">
      {list.map((p, i) => (
        <li key={i} className="px-3 py-1.5 break-words">
          <code className="font-mono font-medium">{p.name}</code>
          {": "}
          {p.asked ? <>asked <code className="font-mono">{p.asked}</code></> : "not asked"}
          {", "}
          {p.sent ? <>sent <code className="font-mono">{p.sent}</code></> : "not sent"}
          <span className="text-muted"> ({rules[p.rule] ?? p.rule})</span>
        </li>
      ))}
    </ul>
  );
}

function View({ receipt: r, servedBy }: { receipt: Receipt; servedBy?: string }) {
  const other = r.served_by && r.served_by !== r.model ? (servedBy ?? r.served_by) : undefined;
  return (
    <>
      <p className="text-2xl font-semibold tabular-nums">
        {exactCredits(r.charge_nano_usd)} <span className="text-sm font-normal text-muted">credits</span>
      </p>
      <p className="mb-2 text-[13px] text-soft">{r.cached ? "Served from cache, free" : (outcomes[r.outcome] ?? r.outcome)}</p>
      <dl className="border-t border-line pt-1.5 text-[13px]">
        {r.error && <Row name="Reason">{outcomeOf(r.error)}</Row>}
        {r.operation && operations[r.operation] && <Row name="For">{operations[r.operation]}</Row>}
        {other && <Row name="Answered by">{other}, priced at the cheaper of the two</Row>}
        {classes.map(([key, name, price]) =>
          r.tokens?.[key] ? (
            <Row key={key} name={`${name} tokens`}>
              {count(r.tokens[key])}
              {r.prices?.[price] !== undefined && <span className="text-muted"> × ${nanoToDollars(r.prices[price])}/M</span>}
            </Row>
          ) : null,
        )}
        {!!r.prices?.per_request_nano_usd && <Row name="Per request">${nanoToDollars(r.prices.per_request_nano_usd)}</Row>}
        {!!r.prices?.per_image_nano_usd && <Row name="Per image">${nanoToDollars(r.prices.per_image_nano_usd)}</Row>}
        {r.markup_basis_points !== undefined && <Row name="Markup">{r.markup_basis_points / 100}%</Row>}
        {r.price_version !== undefined && <Row name="Price version">{r.price_version}</Row>}
        <Row name="Counted by">
          {r.counted_by === "provider" ? "the provider" : "OneMind"}
          {r.estimated && " (estimated)"}
        </Row>
        {r.hold_nano_usd !== undefined && <Row name="Held before">{exactCredits(r.hold_nano_usd)}</Row>}
        {r.released_nano_usd !== undefined && <Row name="Given back">{exactCredits(r.released_nano_usd)}</Row>}
        {!!r.queue_ms && <Row name="Waited for a place">{duration(r.queue_ms)}</Row>}
        {!!r.first_token_ms && <Row name="First word after">{duration(r.first_token_ms)}</Row>}
        {!!r.total_ms && <Row name="Took in all">{duration(r.total_ms)}</Row>}
      </dl>
      {!!r.attempts?.length && (
        <Section title="Attempts">
          <Attempts list={r.attempts} />
        </Section>
      )}
      {!!r.parameters?.length && (
        <Section title="Sent differently than asked">
          <Parameters list={r.parameters} />
        </Section>
      )}
    </>
  );
}

interface Props {
  id: string;
  /** The receipt as it came with the answer, shown until the signed one is there. */
  known?: Receipt;
  name: string;
  servedBy?: string;
  onClose: () => void;
}

export default function ReceiptDialog({ id, known, name, servedBy, onClose }: Props) {
  const path = `/api/receipts/${encodeURIComponent(id)}`;
  const { data: text, error, refetch } = useQuery({
    queryKey: ["receipt", id],
    // The signature is over what the server wrote, so that text is kept as it is.
    queryFn: async ({ signal }) => (await request<string>("GET", path, { signal, text: true })).data,
    staleTime: Infinity,
  });
  const receipt = text ? (JSON.parse(text) as Receipt) : known;
  const file = `receipt-${id}.json`;
  const keys = "onemind-receipt-keys.json";
  return (
    <Dialog
      open
      onClose={onClose}
      size="lg"
      title="Receipt"
      description={name}
      footer={
        text && (
          <>
            <CopyButton text={text} label="Copy JSON" showLabel />
            <a
              href={path}
              download={file}
              className="inline-flex h-8 items-center gap-2 rounded-lg border border-line bg-surface px-2.5 text-[13px] font-medium hover:bg-hover touch:min-h-11"
            >
              <Download className="size-4" aria-hidden="true" /> Download
            </a>
          </>
        )
      }
    >
      {error && <ErrorBox error={error} onRetry={() => void refetch()} />}
      {receipt ? <View receipt={receipt} servedBy={servedBy} /> : !error && <SkeletonRows rows={6} label="Loading the receipt" />}
      <p className="mt-4 font-mono text-xs break-all text-muted">{id}</p>
      {receipt?.signature !== undefined && (
        <p className="mt-1 text-[13px] text-muted">
          This receipt is signed. To check it anywhere, download it and the server's{" "}
          <a href={`/.well-known/${keys}`} download={keys} className="font-medium text-accent underline underline-offset-2">
            public keys
          </a>
          , then run <code className="font-mono break-all text-soft">onemind receipt verify {file} --keys {keys}</code>
        </p>
      )}
    </Dialog>
  );
}
