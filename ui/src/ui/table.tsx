import type { ReactNode } from "react";
import { Button } from "./button";
import { cx } from "./cx";

export interface Column<T> {
  head: string;
  cell: (row: T) => ReactNode;
  right?: boolean;
  hideHead?: boolean;
  className?: string;
}

interface Props<T> {
  label: string;
  columns: Column<T>[];
  rows: T[];
  rowKey: (row: T) => string | number;
  more?: () => void;
  loadingMore?: boolean;
}

/** A plain table that scrolls sideways by itself on narrow screens. */
export function Table<T>({ label, columns, rows, rowKey, more, loadingMore }: Props<T>) {
  return (
    <>
      <div role="region" aria-label={label} tabIndex={0} className="relative overflow-x-auto rounded-2xl border border-line bg-surface">
        <table className="w-full text-sm">
          <thead>
            <tr className="border-b border-line text-left text-[13px] text-muted">
              {columns.map((c) => (
                <th key={c.head} scope="col" className={cx("px-4 py-2.5 font-medium whitespace-nowrap", c.right && "text-right")}>
                  {c.hideHead ? <span className="sr-only">{c.head}</span> : c.head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={rowKey(row)} className="border-b border-line last:border-0 hover:bg-bg">
                {columns.map((c) => (
                  <td key={c.head} className={cx("px-4 py-2.5 align-middle", c.right && "text-right tabular-nums", c.className)}>
                    {c.cell(row)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more && (
        <div className="mt-4 flex justify-center">
          <Button onClick={more} busy={loadingMore}>
            {loadingMore ? "Loading…" : "Show more"}
          </Button>
        </div>
      )}
    </>
  );
}
