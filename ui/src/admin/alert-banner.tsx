import { CircleAlert, TriangleAlert, X } from "lucide-react";
import { Link } from "react-router";
import { IconButton } from "../ui/button";
import { cx } from "../ui/cx";
import { dismissFault, shownFaults, useAlerts, useDismissed } from "./alerts";

const most = 3;

/** What an operator has to look at, above every admin page. Counts and times stay out: they would be read out again and again. */
export function AlertBanner() {
  const alerts = useAlerts();
  const dismissed = useDismissed();
  const faults = shownFaults(alerts.data ?? [], dismissed);
  const rest = faults.length - most;
  return (
    <div role="status" aria-label="Alerts" className="shrink-0">
      {faults.length > 0 && (
        <ul className="flex flex-col gap-1.5 px-3 pb-2">
          {faults.slice(0, most).map((f) => {
            const bad = f.severity === "error";
            const Icon = bad ? CircleAlert : TriangleAlert;
            return (
              <li key={f.key} className={cx("flex items-center gap-2.5 rounded-xl border py-1 pr-1 pl-3 text-sm", bad ? "border-danger/40 bg-danger-soft" : "border-warn/40 bg-warn-soft")}>
                <Icon className={cx("size-4 shrink-0", bad ? "text-danger" : "text-warn")} aria-hidden="true" />
                <p className="min-w-0 flex-1 py-1">
                  <span className="sr-only">{bad ? "Error: " : "Warning: "}</span>
                  {f.text}{" "}
                  {f.provider && (
                    <Link to={`/admin/providers#${f.provider}`} className="font-medium whitespace-nowrap underline underline-offset-2">
                      Open {f.provider}
                    </Link>
                  )}
                </p>
                <IconButton label={`Dismiss: ${f.text}`} className="text-soft" onClick={() => dismissFault(f)}>
                  <X />
                </IconButton>
              </li>
            );
          })}
          {rest > 0 && (
            <li className="px-3 text-[13px] text-soft">
              And {rest} more on{" "}
              <Link to="/admin/providers" className="font-medium underline underline-offset-2">
                the providers page
              </Link>
              .
            </li>
          )}
        </ul>
      )}
    </div>
  );
}
