import { Link, Navigate, useSearchParams } from "react-router";
import { useConfig } from "../app/session";
import { AuthForm, safeNext } from "./auth-form";
import { AuthLayout } from "./auth-layout";

export default function Login() {
  const config = useConfig();
  const [params] = useSearchParams();
  if (config.data?.setup_needed) return <Navigate to="/setup" replace />;
  return (
    <AuthLayout
      title="Sign in"
      description="Welcome back."
      foot={
        config.data?.signup_enabled && (
          <>
            New here?{" "}
            <Link to="/signup" className="font-medium text-accent underline underline-offset-2">
              Create an account
            </Link>
          </>
        )
      }
    >
      <AuthForm path="/api/auth/login" action="Sign in" next={safeNext(params.get("next"))} />
    </AuthLayout>
  );
}
