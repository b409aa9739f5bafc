import { useMutation } from "@tanstack/react-query";
import { Plus, Users as UsersIcon } from "lucide-react";
import { useDeferredValue, useState } from "react";
import { post } from "../api/client";
import type { AdminUser } from "../api/admin-types";
import { Badge, Empty, Time } from "../ui/bits";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { SearchInput, SelectField, TextField } from "../ui/field";
import { credits } from "../ui/money";
import { Table } from "../ui/table";
import { toast } from "../ui/toast";
import { configChanged, fieldError, Loader, SaveError, useAdminList } from "./common";
import { Heading } from "./heading";
import { UserEditor } from "./user-editor";

function Create({ onClose }: { onClose: () => void }) {
  const [email, setEmail] = useState("");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState("user");
  const save = useMutation({
    mutationFn: () => post<AdminUser>("/api/admin/users", { email: email.trim(), password, role, ...(name.trim() ? { name: name.trim() } : {}) }),
    onSuccess: (user) => {
      toast(`${user.email} can sign in now.`);
      configChanged();
      onClose();
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title="Add a person"
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button variant="primary" disabled={!email.trim() || password.length < 8} busy={save.isPending} onClick={() => save.mutate()}>
            Add
          </Button>
        </>
      }
    >
      <form
        className="flex flex-col gap-4"
        autoComplete="off"
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate();
        }}
      >
        <SaveError error={save.error} onReload={configChanged} />
        <TextField label="Email" type="email" required autoFocus autoComplete="off" value={email} error={fieldError(save.error, "email")} onChange={(e) => setEmail(e.target.value)} />
        <TextField label="Name" hint="Optional" autoComplete="off" value={name} onChange={(e) => setName(e.target.value)} />
        <TextField label="First password" type="password" hint="At least 8 characters; they can change it in their settings." autoComplete="new-password" value={password} error={fieldError(save.error, "password")} onChange={(e) => setPassword(e.target.value)} />
        <SelectField label="Role" value={role} onChange={(e) => setRole(e.target.value)}>
          <option value="user">User</option>
          <option value="admin">Administrator</option>
        </SelectField>
        <button type="submit" hidden />
      </form>
    </Dialog>
  );
}

export default function Users() {
  const [q, setQ] = useState("");
  const list = useAdminList<AdminUser>("users", { q: useDeferredValue(q.trim()), limit: 50 });
  const [open, setOpen] = useState<string>();
  const [creating, setCreating] = useState(false);
  const user = list.rows.find((u) => u.id === open);

  return (
    <>
      <Heading title="Users & credits" description="Who is here, what they may spend, and what they spent it on.">
        <SearchInput label="Search by email or name" value={q} onChange={(e) => setQ(e.target.value)} className="!w-60" />
        <Button variant="primary" onClick={() => setCreating(true)}>
          <Plus className="size-4" /> Add person
        </Button>
      </Heading>
      <Loader list={list}>
        {list.rows.length === 0 ? (
          <Empty title="Nobody found" icon={<UsersIcon />}>Search by a part of the email or the name.</Empty>
        ) : (
          <Table
            label="Users"
            rows={list.rows}
            rowKey={(u) => u.id}
            more={list.more}
            loadingMore={list.isFetchingNextPage}
            columns={[
              {
                head: "Person",
                cell: (u) => (
                  <button type="button" onClick={() => setOpen(u.id)} className="rounded-md text-left">
                    <span className="block font-medium underline decoration-line-strong/50 underline-offset-3 hover:decoration-current">{u.name || u.email}</span>
                    {u.name && <span className="block text-xs text-muted">{u.email}</span>}
                  </button>
                ),
              },
              { head: "Role", cell: (u) => (u.role === "admin" ? <Badge tone="accent">admin</Badge> : <span className="text-muted">user</span>) },
              { head: "State", cell: (u) => <Badge tone={u.state === "active" ? "ok" : "bad"}>{u.state}</Badge> },
              { head: "Plan", cell: (u) => u.plan },
              { head: "Credits", right: true, cell: (u) => credits(u.balance_nano_usd) },
              { head: "Last seen", cell: (u) => <span className="text-muted"><Time iso={u.last_seen_at} /></span> },
              { head: "Actions", hideHead: true, right: true, cell: (u) => <Button size="sm" aria-label={`Manage ${u.email}`} onClick={() => setOpen(u.id)}>Manage</Button> },
            ]}
          />
        )}
      </Loader>
      {user && <UserEditor key={user.id} user={user} onClose={() => setOpen(undefined)} />}
      {creating && <Create onClose={() => setCreating(false)} />}
    </>
  );
}
