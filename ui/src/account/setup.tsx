import { Link, useSearchParams } from "react-router";
import { useConfig } from "../app/session";
import { AuthForm } from "./auth-form";
import { AuthLayout } from "./auth-layout";

export default function Setup() {
  const config = useConfig();
  const [params] = useSearchParams();
  const token = params.get("token");
  if (config.data && !config.data.setup_needed) {
    return (
      <AuthLayout title="Already set up" description="This installation has an administrator.">
        <Link to="/login" className="font-medium text-accent underline underline-offset-2">
          Sign in
        </Link>
      </AuthLayout>
    );
  }
  if (!token) {
    return (
      <AuthLayout title="Almost there" description="Open the one-time set-up link that OneMind printed when it started.">
        <p className="text-sm text-soft">
          It looks like <code className="rounded bg-panel px-1.5 py-0.5 font-mono text-[13px]">/setup?token=…</code> and is in the output of{" "}
          <code className="rounded bg-panel px-1.5 py-0.5 font-mono text-[13px]">onemind serve</code>. You can also create the first account with{" "}
          <code className="rounded bg-panel px-1.5 py-0.5 font-mono text-[13px]">onemind user create --role admin</code>.
        </p>
      </AuthLayout>
    );
  }
  return (
    <AuthLayout title="Set up OneMind" description="Create the first administrator. You can add models, providers and people afterwards.">
      <AuthForm path="/api/setup" action="Create administrator" fresh extra={{ token }} />
    </AuthLayout>
  );
}
