import { useQuery } from "@tanstack/react-query";
import { CircleCheck, CircleX } from "lucide-react";
import type { LedgerReport } from "../api/admin-types";
import { get } from "../api/client";
import { Time } from "../ui/bits";
import { Button } from "../ui/button";
import { cx } from "../ui/cx";
import { count, plural } from "../ui/format";
import { exactCredits } from "../ui/money";
import { Loader } from "./common";
import { Heading } from "./heading";

function Proof({ claim, left, right, leftName, rightName }: { claim: string; left: number; right: number; leftName: string; rightName: string }) {
  const ok = left === right;
  return (
    <li className="rounded-2xl border border-line bg-surface p-5">
      <p className="flex items-center gap-2 font-medium">
        {ok ? <CircleCheck className="size-5 text-ok" aria-hidden="true" /> : <CircleX className="size-5 text-danger" aria-hidden="true" />}
        {claim}
      </p>
      <div className="mt-3 grid gap-3 text-sm sm:grid-cols-[1fr_auto_1fr] sm:items-center">
        <p>
          <span className="block text-muted">{leftName}</span>
          <span className="block text-lg font-semibold tabular-nums">{exactCredits(left)}</span>
        </p>
        <p className={cx("text-xl max-sm:sr-only", ok ? "text-ok" : "text-danger")}>{ok ? "=" : "≠"}</p>
        <p>
          <span className="block text-muted">{rightName}</span>
          <span className="block text-lg font-semibold tabular-nums">{exactCredits(right)}</span>
        </p>
      </div>
    </li>
  );
}

export default function Ledger() {
  const report = useQuery({ queryKey: ["admin", "ledger"], queryFn: ({ signal }) => get<LedgerReport>("/api/admin/ledger", signal), staleTime: 0 });
  const r = report.data;
  const problems = r?.problems ?? [];
  return (
    <>
      <Heading title="Ledger" description="The books prove themselves: what was written must add up to what people have, to the last nano-dollar.">
        <Button busy={report.isFetching} onClick={() => void report.refetch()}>
          Check again
        </Button>
      </Heading>
      <Loader list={report}>
        {r && (
          <>
            <div role="status" className={cx("mb-5 flex items-center gap-3 rounded-2xl p-5", r.ok ? "bg-ok-soft text-ok" : "bg-danger-soft text-danger")}>
              {r.ok ? <CircleCheck className="size-7 shrink-0" aria-hidden="true" /> : <CircleX className="size-7 shrink-0" aria-hidden="true" />}
              <div>
                <p className="text-lg font-semibold">{r.ok ? "Everything adds up" : "The books do not add up"}</p>
                <p className="text-sm">
                  {plural(r.transactions, "transaction")} of {plural(r.accounts, "account")}, checked <Time iso={r.checked_at} />
                </p>
              </div>
            </div>
            {problems.length > 0 && (
              <ul className="mb-5 list-disc rounded-2xl border border-danger/40 bg-danger-soft py-4 pr-5 pl-9 text-sm text-danger">
                {problems.map((p, i) => (
                  <li key={i}>{typeof p === "string" ? p : JSON.stringify(p)}</li>
                ))}
              </ul>
            )}
            <ul className="grid gap-3 xl:grid-cols-2">
              <Proof claim="Entries are the balances" left={r.entries_nano_usd} leftName="Sum of all entries" right={r.balances_nano_usd} rightName="Sum of all balances" />
              <Proof claim="Open holds are what is held" left={r.open_holds_nano_usd} leftName={`${count(r.open_holds)} open holds`} right={r.held_nano_usd} rightName="Held in accounts" />
            </ul>
            <p className="mt-4 text-sm text-muted">
              Figures are credits. {r.oldest_hold_at ? <>The oldest open hold is from <Time iso={r.oldest_hold_at} />.</> : "No hold is open."}
            </p>
          </>
        )}
      </Loader>
    </>
  );
}
