import { useQuery } from "@tanstack/react-query";
import { ChartColumn } from "lucide-react";
import { useMemo, useState } from "react";
import type { UsageRow } from "../api/admin-types";
import { get } from "../api/client";
import { Empty } from "../ui/bits";
import { count, tokens } from "../ui/format";
import { cents, credits } from "../ui/money";
import { inputLook } from "../ui/field";
import { Table } from "../ui/table";
import { Loader } from "./common";
import { Heading } from "./heading";

interface Sum {
  key: string;
  requests: number;
  input: number;
  output: number;
  charge: number;
  cost: number;
  /** Whether the cost of every row is known. */
  known: boolean;
}

function sumBy(rows: UsageRow[], key: (row: UsageRow) => string): Sum[] {
  const sums = new Map<string, Sum>();
  for (const row of rows) {
    const k = key(row);
    const sum = sums.get(k) ?? { key: k, requests: 0, input: 0, output: 0, charge: 0, cost: 0, known: true };
    sum.requests += row.requests;
    sum.input += row.input_tokens;
    sum.output += row.output_tokens;
    sum.charge += row.charge_nano_usd;
    if (row.cost_nano_usd === undefined) sum.known = false;
    else sum.cost += row.cost_nano_usd;
    sums.set(k, sum);
  }
  return [...sums.values()];
}

function everyDay(days: number): string[] {
  const now = Date.now();
  return Array.from({ length: days }, (_, i) => new Date(now - (days - 1 - i) * 86_400_000).toISOString().slice(0, 10));
}

function Bars({ days }: { days: Sum[] }) {
  const top = Math.max(1, ...days.map((d) => d.charge));
  const [width, height] = [720, 140];
  const step = width / days.length;
  return (
    <figure className="mb-6 rounded-2xl border border-line bg-surface p-5">
      <figcaption className="mb-3 flex flex-wrap justify-between gap-2 text-sm">
        <span className="font-medium">Charged per day</span>
        <span className="text-muted">most: {credits(top)} credits</span>
      </figcaption>
      <svg viewBox={`0 0 ${width} ${height}`} role="img" aria-label={`Credits charged on each of the last ${days.length} days; the table below has the figures by model`} className="h-36 w-full" preserveAspectRatio="none">
        {days.map((d, i) => {
          const h = d.charge ? Math.max(2, (d.charge / top) * height) : 1;
          return (
            <rect key={d.key} x={i * step + step * 0.14} y={height - h} width={step * 0.72} height={h} rx="2" fill={d.charge ? "var(--s3)" : "var(--line)"}>
              <title>{`${d.key}: ${credits(d.charge)} credits, ${count(d.requests)} answers`}</title>
            </rect>
          );
        })}
      </svg>
      <div className="mt-2 flex justify-between text-xs text-muted" aria-hidden="true">
        <span>{days[0]?.key}</span>
        <span>{days.at(-1)?.key}</span>
      </div>
    </figure>
  );
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div className="rounded-2xl border border-line bg-surface p-4">
      <dt className="text-sm text-muted">{name}</dt>
      <dd className="mt-0.5 text-xl font-semibold tabular-nums">{value}</dd>
    </div>
  );
}

export default function Usage() {
  const [days, setDays] = useState(30);
  const usage = useQuery({ queryKey: ["admin", "usage", days], queryFn: ({ signal }) => get<{ items: UsageRow[] | null }>(`/api/admin/usage?days=${days}`, signal), staleTime: 0 });
  const { perDay, perModel, all } = useMemo(() => {
    const rows = usage.data?.items ?? [];
    const byDay = new Map(sumBy(rows, (r) => r.day.slice(0, 10)).map((s) => [s.key, s]));
    return {
      perDay: everyDay(days).map((key) => byDay.get(key) ?? { key, requests: 0, input: 0, output: 0, charge: 0, cost: 0, known: true }),
      perModel: sumBy(rows, (r) => r.model).sort((a, b) => b.charge - a.charge),
      all: sumBy(rows, () => "all")[0],
    };
  }, [usage.data, days]);
  return (
    <>
      <Heading title="Usage" description="What was asked, what people paid and what the providers charge for it.">
        <label className="flex items-center gap-2 text-sm">
          <span className="text-muted">Period</span>
          <select className={`${inputLook} !h-9 !w-auto`} value={days} onChange={(e) => setDays(Number(e.target.value))}>
            {[7, 30, 90].map((n) => (
              <option key={n} value={n}>
                {n} days
              </option>
            ))}
          </select>
        </label>
      </Heading>
      <Loader list={usage}>
        {all ? (
          <>
            <dl className="mb-4 grid grid-cols-[repeat(auto-fit,minmax(9rem,1fr))] gap-3">
              <Figure name="Answers" value={count(all.requests)} />
              <Figure name="Charged" value={cents(all.charge)} />
              {all.known && <Figure name="Providers' cost" value={cents(all.cost)} />}
              {all.known ? <Figure name="Margin" value={cents(all.charge - all.cost)} /> : <Figure name="Tokens" value={tokens(all.input + all.output)} />}
            </dl>
            <Bars days={perDay} />
            <Table
              label="Usage by model"
              rows={perModel}
              rowKey={(m) => m.key}
              columns={[
                { head: "Model", cell: (m) => <span className="font-medium">{m.key}</span> },
                { head: "Answers", right: true, cell: (m) => count(m.requests) },
                { head: "Input", right: true, cell: (m) => tokens(m.input) },
                { head: "Output", right: true, cell: (m) => tokens(m.output) },
                { head: "Charged (credits)", right: true, cell: (m) => credits(m.charge) },
                ...(all.known
                  ? [
                      { head: "Cost", right: true, cell: (m: Sum) => cents(m.cost) },
                      { head: "Margin", right: true, cell: (m: Sum) => cents(m.charge - m.cost) },
                    ]
                  : []),
              ]}
            />
          </>
        ) : (
          <Empty title="No answers in this period" icon={<ChartColumn />}>As soon as people ask, this shows by day and by model what it cost and what it earned.</Empty>
        )}
      </Loader>
    </>
  );
}
