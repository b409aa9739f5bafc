import { Link } from "react-router";
import { useConfig } from "../app/session";
import { AuthForm } from "./auth-form";
import { AuthLayout } from "./auth-layout";

export default function Signup() {
  const config = useConfig();
  const closed = config.data && !config.data.signup_enabled;
  const signIn = (
    <Link to="/login" className="font-medium text-accent underline underline-offset-2">
      Sign in
    </Link>
  );
  if (closed) {
    return (
      <AuthLayout title="Sign-up is closed" description="Accounts here are made by an administrator. Ask yours for one.">
        {signIn}
      </AuthLayout>
    );
  }
  return (
    <AuthLayout title="Create an account" description="Ask your first question in a minute." foot={<>Already have one? {signIn}</>}>
      <AuthForm path="/api/auth/signup" action="Create account" fresh />
    </AuthLayout>
  );
}
