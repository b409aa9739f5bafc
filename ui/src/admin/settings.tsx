import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { etagOf, request } from "../api/client";
import type { Plan, Settings as SettingsBody } from "../api/admin-types";
import { queryClient } from "../app/query-client";
import { Card } from "../ui/bits";
import { Button } from "../ui/button";
import { SelectField, Switch, TextField } from "../ui/field";
import { toast } from "../ui/toast";
import { configChanged, fieldError, Loader, SaveError, useAdminList, wholeNumber } from "./common";
import { Heading } from "./heading";

function Form({ settings, etag }: { settings: SettingsBody; etag?: string }) {
  const plans = useAdminList<Plan>("plans", { limit: 200 });
  const [markup, setMarkup] = useState(String(settings.markup_percent));
  const [signup, setSignup] = useState(String(settings.signup_credits));
  const [open, setOpen] = useState(settings.signup_enabled);
  const [plan, setPlan] = useState(settings.default_plan);
  const [global, setGlobal] = useState(String(settings.global_requests_per_minute));
  const [cache, setCache] = useState(settings.response_cache);
  const save = useMutation({
    mutationFn: () =>
      request<SettingsBody>("PATCH", "/api/admin/settings", {
        // Percent and credits go as text: the server reads them as exact decimals.
        body: {
          markup_percent: markup.trim(),
          signup_credits: signup.trim(),
          signup_enabled: open,
          default_plan: plan,
          global_requests_per_minute: wholeNumber(global),
          response_cache: cache,
        },
        ifMatch: etag,
      }),
    onSuccess: () => {
      toast("The settings are saved.");
      configChanged();
      void queryClient.invalidateQueries({ queryKey: ["config"] });
    },
  });
  const at = (field: string) => fieldError(save.error, field);
  return (
    <form
      className="flex max-w-2xl flex-col gap-5"
      onSubmit={(e) => {
        e.preventDefault();
        save.mutate();
      }}
    >
      <SaveError error={save.error} onReload={configChanged} />
      <Card title="Money">
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField label="Markup (%)" hint="On top of what providers charge" inputMode="decimal" value={markup} error={at("markup_percent")} onChange={(e) => setMarkup(e.target.value)} />
          <TextField label="Welcome credits" hint="For everybody who signs up" inputMode="decimal" value={signup} error={at("signup_credits")} onChange={(e) => setSignup(e.target.value)} />
        </div>
      </Card>
      <Card title="People">
        <div className="flex flex-col gap-4">
          <Switch label="Open sign-up" hint="Otherwise only administrators make accounts." checked={open} onChange={setOpen} />
          <SelectField label="Default plan" value={plan} error={at("default_plan")} onChange={(e) => setPlan(e.target.value)}>
            {[...new Set([plan, ...plans.rows.map((p) => p.id)])].map((id) => (
              <option key={id}>{id}</option>
            ))}
          </SelectField>
        </div>
      </Card>
      <Card title="Traffic">
        <div className="flex flex-col gap-4">
          <TextField label="Model calls per minute, all people together" inputMode="numeric" value={global} error={at("global_requests_per_minute")} onChange={(e) => setGlobal(e.target.value)} />
          <Switch label="Response cache for everyone" hint="Somebody who repeats a question with the same settings gets the answer from memory for an hour, free of charge. Plans and API keys can turn it on by themselves." checked={cache} onChange={setCache} />
        </div>
      </Card>
      <Button type="submit" variant="primary" className="self-start" busy={save.isPending}>
        Save settings
      </Button>
    </form>
  );
}

export default function Settings() {
  const settings = useQuery({ queryKey: ["admin", "settings"], queryFn: ({ signal }) => request<SettingsBody>("GET", "/api/admin/settings", { signal }), staleTime: 0 });
  return (
    <>
      <Heading title="Settings" description="They apply everywhere at once. Every change is a revision that can be rolled back." />
      <Loader list={settings}>
        {settings.data && <Form key={settings.data.etag ?? settings.data.data.revision} settings={settings.data.data} etag={settings.data.etag ?? etagOf(settings.data.data.revision)} />}
      </Loader>
    </>
  );
}
