import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type { Receipt } from "../api/types";
import { CopyButton, ErrorBox, SkeletonRows } from "../ui/bits";
import { count, duration } from "../ui/format";
import { exactCredits, nanoToDollars } from "../ui/money";

const outcomes: Record<string, string> = {
  finished: "Finished",
  stopped: "Stopped by you",
  failed_midway: "Failed midway: only what was delivered is charged",
  failed: "Failed before it began: free",
  empty: "Empty answer: free",
  length: "Ended at the length limit",
  interrupted: "Interrupted",
  cached: "From the response cache: free",
};

const classes = [
  ["input", "Input", "input_nano_usd"],
  ["cached_input", "Cached input", "cached_input_nano_usd"],
  ["cache_write", "Cache write", "cache_write_nano_usd"],
  ["output", "Output", "output_nano_usd"],
  ["reasoning", "Reasoning", "reasoning_nano_usd"],
] as const;

function Row({ name, value }: { name: string; value: React.ReactNode }) {
  return (
    <div className="flex justify-between gap-4 py-1">
      <dt className="text-muted">{name}</dt>
      <dd className="text-right tabular-nums break-all">{value}</dd>
    </div>
  );
}

export function ReceiptView({ receipt: r }: { receipt: Receipt }) {
  return (
    <div>
      <div className="flex items-baseline justify-between gap-3">
        <span className="font-semibold">Receipt</span>
        <span className="text-lg font-semibold tabular-nums">
          {exactCredits(r.charge_nano_usd)} <span className="text-sm font-normal text-muted">credits</span>
        </span>
      </div>
      <p className="mb-2 text-[13px] text-soft">{outcomes[r.outcome] ?? r.outcome}</p>
      <dl className="border-t border-line pt-1.5 text-[13px]">
        {classes.map(([key, name, price]) =>
          r.tokens?.[key] ? (
            <Row
              key={key}
              name={`${name} tokens`}
              value={
                <>
                  {count(r.tokens[key])}
                  {r.prices?.[price] !== undefined && <span className="text-muted"> × ${nanoToDollars(r.prices[price])}/M</span>}
                </>
              }
            />
          ) : null,
        )}
        {r.markup_basis_points !== undefined && <Row name="Markup" value={`${r.markup_basis_points / 100}%`} />}
        <Row name="Counted by" value={`${r.counted_by === "provider" ? "the provider" : "OneMind"}${r.estimated ? " (estimated)" : ""}`} />
        {r.hold_nano_usd !== undefined && <Row name="Held before" value={exactCredits(r.hold_nano_usd)} />}
        {r.released_nano_usd !== undefined && <Row name="Given back" value={exactCredits(r.released_nano_usd)} />}
        {r.served_by && r.served_by !== r.model && <Row name="Served by" value={r.served_by} />}
        {!!r.first_token_ms && <Row name="First word after" value={duration(r.first_token_ms)} />}
        {!!r.total_ms && <Row name="Took" value={duration(r.total_ms)} />}
        {r.price_version !== undefined && <Row name="Price version" value={String(r.price_version)} />}
      </dl>
      <div className="mt-1.5 flex items-center justify-between gap-2 border-t border-line pt-1.5">
        <span className="truncate font-mono text-xs text-muted" title={r.id}>{r.id}</span>
        <CopyButton text={() => JSON.stringify(r, null, 2)} label="Copy receipt" />
      </div>
    </div>
  );
}

export function ReceiptLoader({ id }: { id: string }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["receipt", id],
    queryFn: ({ signal }) => get<Receipt>(`/api/receipts/${id}`, signal),
    staleTime: Infinity,
  });
  if (error) return <ErrorBox error={error} onRetry={() => void refetch()} />;
  return data ? <ReceiptView receipt={data} /> : <SkeletonRows rows={3} label="Loading the receipt" />;
}
