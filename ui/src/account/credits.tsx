import { useInfiniteQuery } from "@tanstack/react-query";
import { ReceiptText } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { get, query } from "../api/client";
import type { Page as ListPage, Transaction } from "../api/types";
import { Page } from "../app/shell";
import { useBalance } from "../chat/run-store";
import { Badge, Empty, ErrorBox, Skeleton, SkeletonRows, Time } from "../ui/bits";
import { IconButton } from "../ui/button";
import { cx } from "../ui/cx";
import { credits, dollars, exactCredits } from "../ui/money";
import { Table } from "../ui/table";

const ReceiptDialog = lazy(() => import("../chat/receipt"));

const kinds: Record<string, string> = { grant: "Granted", charge: "Answer", refund: "Refund", adjustment: "Adjustment", signup: "Welcome credits" };

function Figure({ name, nano, note }: { name: string; nano: number | undefined; note: string }) {
  return (
    <div className="rounded-2xl border border-line bg-surface p-4">
      <p className="text-sm text-muted">{name}</p>
      {nano === undefined ? <Skeleton className="mt-1 h-8 w-24" /> : <p className="mt-0.5 text-2xl font-semibold tabular-nums">{credits(nano)}</p>}
      <p className="mt-0.5 text-[13px] text-muted">{note}</p>
    </div>
  );
}

export function Transactions({ path }: { path: string }) {
  const list = useInfiniteQuery({
    queryKey: ["transactions", path],
    queryFn: ({ pageParam, signal }) => get<ListPage<Transaction>>(path + query({ cursor: pageParam, limit: 50 }), signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next_cursor,
    staleTime: 0,
  });
  const [shown, setShown] = useState<Transaction>();
  if (list.isPending) return <SkeletonRows />;
  if (list.error) return <ErrorBox error={list.error} onRetry={() => void list.refetch()} />;
  const rows = list.data.pages.flatMap((p) => p.items);
  if (rows.length === 0) {
    return (
      <Empty title="No transactions yet" icon={<ReceiptText />}>
        Each answer will be listed here with its receipt: what was counted, at which price, and what it cost.
      </Empty>
    );
  }
  return (
    <>
      <Table
        label="Transactions"
        rows={rows}
        rowKey={(t) => t.id}
        more={list.hasNextPage ? () => void list.fetchNextPage() : undefined}
        loadingMore={list.isFetchingNextPage}
        columns={[
          { head: "When", cell: (t) => <span className="text-muted"><Time iso={t.created_at} /></span> },
          {
            head: "What",
            cell: (t) => (
              <span className="flex items-center gap-2">
                {t.kind === "charge" ? <span>{t.model ?? "Answer"}</span> : <Badge tone={t.amount_nano_usd >= 0 ? "ok" : "warn"}>{kinds[t.kind] ?? t.kind}</Badge>}
                {t.reason && <span className="text-muted">{t.reason}</span>}
              </span>
            ),
          },
          {
            head: "Credits",
            right: true,
            cell: (t) => (
              <span className={cx(t.amount_nano_usd > 0 && "font-medium text-ok")}>
                {t.amount_nano_usd > 0 ? "+" : ""}
                {exactCredits(t.amount_nano_usd)}
              </span>
            ),
          },
          {
            head: "Receipt",
            hideHead: true,
            right: true,
            cell: (t) =>
              t.receipt_id ? (
                <IconButton label="Show the receipt" aria-haspopup="dialog" onClick={() => setShown(t)}>
                  <ReceiptText />
                </IconButton>
              ) : null,
          },
        ]}
      />
      {shown?.receipt_id && (
        <Suspense fallback={null}>
          <ReceiptDialog id={shown.receipt_id} name={shown.model ?? "Answer"} onClose={() => setShown(undefined)} />
        </Suspense>
      )}
    </>
  );
}

export default function Credits() {
  const balance = useBalance((s) => s.balance);
  return (
    <Page title="Credits" description={balance ? `1 credit is 1 US cent. Your balance is worth ${dollars(balance.balance_nano_usd)}.` : "1 credit is 1 US cent."}>
      <div className="mb-8 grid gap-3 sm:grid-cols-3">
        <Figure name="Available" nano={balance?.available_nano_usd} note="to spend now" />
        <Figure name="Held" nano={balance?.held_nano_usd} note="for answers being written" />
        <Figure name="Balance" nano={balance?.balance_nano_usd} note="available and held" />
      </div>
      <h2 className="mb-3 text-lg font-semibold">Transactions</h2>
      <Transactions path="/api/credits/transactions" />
    </Page>
  );
}
