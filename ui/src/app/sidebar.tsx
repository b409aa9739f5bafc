import { ChevronsUpDown, Coins, KeyRound, Keyboard, LogOut, MoreHorizontal, Moon, PanelLeftClose, Pencil, Pin, PinOff, Plus, Settings, ShieldCheck, Sun, Trash2 } from "lucide-react";
import { useDeferredValue, useState } from "react";
import { Link, NavLink, useNavigate, useParams } from "react-router";
import type { Conversation } from "../api/types";
import { useChangeConversation, useConversations, useDeleteConversation } from "../chat/conversations";
import { ErrorBox, SkeletonRows } from "../ui/bits";
import { Button, IconButton } from "../ui/button";
import { cx } from "../ui/cx";
import { Confirm, Dialog } from "../ui/dialog";
import { SearchInput, TextField } from "../ui/field";
import { fullTime } from "../ui/format";
import { Wordmark } from "../ui/logo";
import { Menu, MenuItem, MenuSeparator } from "../ui/menu";
import { toastProblem } from "../ui/toast";
import { signOut, useMe } from "./session";
import { openOverlay } from "./shell";
import { toggleTheme } from "./theme";

function dayOf(iso: string): string {
  const start = new Date();
  start.setHours(0, 0, 0, 0);
  const days = Math.ceil((start.getTime() - Date.parse(iso)) / 86_400_000);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  return days <= 7 ? "Last 7 days" : days <= 30 ? "Last 30 days" : "Older";
}

function group(items: Conversation[]): [string, Conversation[]][] {
  const groups = new Map<string, Conversation[]>();
  for (const c of items) {
    const name = c.pinned ? "Pinned" : dayOf(c.updated_at);
    groups.set(name, [...(groups.get(name) ?? []), c]);
  }
  return [...groups];
}

interface ItemProps {
  conversation: Conversation;
  current: boolean;
  onRename: () => void;
  onDelete: () => void;
}

function Item({ conversation: c, current, onRename, onDelete }: ItemProps) {
  const change = useChangeConversation();
  const name = c.title || "New conversation";
  return (
    <li className={cx("group relative flex items-center rounded-lg transition", current ? "bg-hover" : "hover:bg-hover")}>
      <Link
        to={`/c/${c.id}`}
        aria-current={current ? "page" : undefined}
        title={`${name}, ${fullTime(c.updated_at)}`}
        className="min-w-0 flex-1 rounded-lg py-1.5 pr-9 pl-2.5 text-sm touch:py-2.5 touch:pr-12"
      >
        <span className={cx("block truncate", current ? "font-medium text-text" : "text-soft")}>{name}</span>
        {c.snippet && <span className="block truncate text-xs text-muted">{c.snippet}</span>}
      </Link>
      <span className="absolute right-0.5 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 has-[[data-state=open]]:opacity-100 touch:opacity-100">
        <Menu
          trigger={
            <IconButton label={`More for ${name}`}>
              <MoreHorizontal />
            </IconButton>
          }
        >
          <MenuItem onSelect={() => change.mutate({ id: c.id, pinned: !c.pinned })}>
            {c.pinned ? <PinOff /> : <Pin />} {c.pinned ? "Unpin" : "Pin"}
          </MenuItem>
          <MenuItem onSelect={onRename}>
            <Pencil /> Rename
          </MenuItem>
          <MenuSeparator />
          <MenuItem danger onSelect={onDelete}>
            <Trash2 /> Delete
          </MenuItem>
        </Menu>
      </span>
    </li>
  );
}

function Rename({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const [title, setTitle] = useState(conversation.title);
  const change = useChangeConversation();
  const save = () => {
    if (title.trim()) change.mutate({ id: conversation.id, title: title.trim() });
    onClose();
  };
  return (
    <Dialog open onClose={onClose} title="Rename the conversation" footer={<><Button onClick={onClose}>Cancel</Button><Button variant="primary" onClick={save}>Save</Button></>}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save();
        }}
      >
        <TextField label="Title" value={title} maxLength={200} autoFocus onChange={(e) => setTitle(e.target.value)} />
      </form>
    </Dialog>
  );
}

const linkLook = "flex h-9 items-center gap-2.5 rounded-lg px-2.5 text-sm text-soft transition hover:bg-hover hover:text-text aria-[current=page]:bg-hover aria-[current=page]:font-medium aria-[current=page]:text-text touch:h-11 [&_svg]:size-4 [&_svg]:text-muted";

export function Sidebar({ onCollapse }: { onCollapse: () => void }) {
  const me = useMe();
  const { id } = useParams();
  const navigate = useNavigate();
  const [q, setQ] = useState("");
  const list = useConversations(useDeferredValue(q.trim()));
  const remove = useDeleteConversation();
  const [renaming, setRenaming] = useState<Conversation>();
  const [deleting, setDeleting] = useState<Conversation>();
  const items = list.data?.pages.flatMap((p) => p.items) ?? [];

  return (
    <div className="flex h-full flex-col">
      <div className="flex h-14 shrink-0 items-center justify-between pr-2 pl-4">
        <Link to="/" aria-label="OneMind, new chat" className="flex rounded-md">
          <Wordmark />
        </Link>
        <IconButton label="Hide the sidebar" onClick={onCollapse}>
          <PanelLeftClose />
        </IconButton>
      </div>
      <div className="flex flex-col gap-2 px-3 pb-2">
        <Button variant="primary" onClick={() => void navigate("/")}>
          <Plus className="size-4" /> New chat
        </Button>
        <SearchInput label="Search conversations" value={q} onChange={(e) => setQ(e.target.value)} className="border-line" />
      </div>
      <nav aria-label="Conversations" className="min-h-0 flex-1 overflow-y-auto px-3 pb-3" tabIndex={0}>
        {list.isPending && <SkeletonRows rows={7} label="Loading conversations" />}
        {list.error && <ErrorBox error={list.error} onRetry={() => void list.refetch()} />}
        {list.data && items.length === 0 && (
          <p className="px-2.5 py-4 text-sm text-muted">{q ? "Nothing found. The search looks into titles, questions and answers." : "Your conversations will be listed here."}</p>
        )}
        {group(items).map(([name, group]) => (
          <section key={name} className="pt-3">
            <h2 className="px-2.5 pb-1 text-xs font-semibold text-muted">{name}</h2>
            <ul className="flex flex-col gap-px">
              {group.map((c) => (
                <Item key={c.id} conversation={c} current={c.id === id} onRename={() => setRenaming(c)} onDelete={() => setDeleting(c)} />
              ))}
            </ul>
          </section>
        ))}
        {list.hasNextPage && (
          <Button variant="ghost" size="sm" className="mt-2 w-full" busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
            Show older
          </Button>
        )}
      </nav>
      <div className="border-t border-line p-2">
        {me?.role === "admin" && (
          <NavLink to="/admin" className={linkLook}>
            <ShieldCheck /> Admin
          </NavLink>
        )}
        <Menu
          align="start"
          trigger={
            <button type="button" className="flex h-12 w-full items-center gap-2.5 rounded-lg px-2 text-left transition hover:bg-hover">
              <span className="flex size-8 shrink-0 items-center justify-center rounded-full bg-ink text-sm font-semibold text-on-ink" aria-hidden="true">
                {(me?.name || me?.email || "?").slice(0, 1).toUpperCase()}
              </span>
              <span className="min-w-0 flex-1">
                <span className="block truncate text-sm font-medium">{me?.name || me?.email}</span>
                <span className="block truncate text-xs text-muted">{me?.plan ? `${me.plan} plan` : me?.email}</span>
              </span>
              <ChevronsUpDown className="size-4 text-muted" aria-hidden="true" />
            </button>
          }
        >
          <MenuItem onSelect={() => void navigate("/credits")}><Coins /> Credits</MenuItem>
          <MenuItem onSelect={() => void navigate("/keys")}><KeyRound /> API keys</MenuItem>
          <MenuItem onSelect={() => void navigate("/settings")}><Settings /> Settings</MenuItem>
          <MenuSeparator />
          <MenuItem onSelect={toggleTheme}><Sun className="dark:hidden" /><Moon className="hidden dark:block" /> Switch theme</MenuItem>
          <MenuItem onSelect={() => openOverlay("shortcuts")}><Keyboard /> Keyboard shortcuts</MenuItem>
          <MenuSeparator />
          <MenuItem onSelect={() => void signOut().catch(toastProblem)}><LogOut /> Sign out</MenuItem>
        </Menu>
      </div>
      {renaming && <Rename conversation={renaming} onClose={() => setRenaming(undefined)} />}
      <Confirm
        open={!!deleting}
        onClose={() => setDeleting(undefined)}
        title="Delete this conversation?"
        text={<>“{deleting?.title || "New conversation"}” and all its answers will be gone for good. What they cost stays in your credit history.</>}
        action="Delete"
        onConfirm={() => {
          if (!deleting) return;
          remove.mutate(deleting.id);
          if (deleting.id === id) void navigate("/");
          setDeleting(undefined);
        }}
      />
    </div>
  );
}
