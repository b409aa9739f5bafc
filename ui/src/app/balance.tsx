import { Coins } from "lucide-react";
import { Link } from "react-router";
import { useBalance } from "../chat/run-store";
import { cx } from "../ui/cx";
import { credits } from "../ui/money";

const low = 50_000_000;

export function BalancePill() {
  const balance = useBalance((s) => s.balance);
  if (!balance) return null;
  const held = balance.held_nano_usd > 0 ? `, ${credits(balance.held_nano_usd)} of them held for answers being written` : "";
  return (
    <Link
      to="/credits"
      title={`${credits(balance.balance_nano_usd)} credits${held}`}
      className={cx(
        "flex h-9 shrink-0 items-center gap-2 rounded-full px-3 text-sm font-medium tabular-nums transition hover:bg-hover touch:h-11",
        balance.available_nano_usd < low ? "text-warn" : "text-soft",
      )}
    >
      <Coins className="size-4 text-muted" aria-hidden="true" />
      {credits(balance.available_nano_usd)}
      <span className="font-normal text-muted max-sm:sr-only">credits</span>
      <span className="sr-only">available</span>
    </Link>
  );
}
