import { Coins, KeyRound, Keyboard, MessageSquare, Plus, Settings, ShieldCheck, SunMoon } from "lucide-react";
import { useDeferredValue, useEffect, useId, useState, type ReactNode } from "react";
import { useNavigate } from "react-router";
import { useConversations } from "../chat/conversations";
import { cx } from "../ui/cx";
import { Dialog } from "../ui/dialog";
import { useMe } from "./session";
import { openOverlay } from "./shell";
import { toggleTheme } from "./theme";

interface Command {
  id: string;
  name: string;
  hint?: string;
  icon: ReactNode;
  run: () => void;
}

export default function Palette({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const me = useMe();
  const listId = useId();
  const [q, setQ] = useState("");
  const [at, setAt] = useState(0);
  const found = useConversations(useDeferredValue(q.trim()));

  const go = (to: string) => () => void navigate(to);
  const fixed: Command[] = [
    { id: "new", name: "New chat", icon: <Plus />, run: go("/") },
    { id: "credits", name: "Credits", icon: <Coins />, run: go("/credits") },
    { id: "keys", name: "API keys", icon: <KeyRound />, run: go("/keys") },
    { id: "settings", name: "Settings", icon: <Settings />, run: go("/settings") },
    { id: "theme", name: "Switch between light and dark", icon: <SunMoon />, run: toggleTheme },
    { id: "shortcuts", name: "Keyboard shortcuts", icon: <Keyboard />, run: () => openOverlay("shortcuts") },
  ];
  if (me?.role === "admin") {
    for (const [path, name] of [["models", "Models and prices"], ["providers", "Providers"], ["users", "Users and credits"], ["settings", "Settings"], ["usage", "Usage"], ["revisions", "Revisions"]]) {
      fixed.push({ id: `admin-${path}`, name: `Admin: ${name}`, icon: <ShieldCheck />, run: go(`/admin/${path}`) });
    }
  }
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const commands = [
    ...fixed.filter((c) => words.every((w) => c.name.toLowerCase().includes(w))),
    ...(found.data?.pages[0]?.items.slice(0, 8) ?? []).map((c): Command => ({
      id: c.id,
      name: c.title || "New conversation",
      hint: c.snippet,
      icon: <MessageSquare />,
      run: go(`/c/${c.id}`),
    })),
  ];
  const current = Math.min(at, commands.length - 1);

  useEffect(() => setAt(0), [q]);
  useEffect(() => {
    document.getElementById(`${listId}-${current}`)?.scrollIntoView({ block: "nearest" });
  }, [current, listId]);

  const pick = (command: Command | undefined) => {
    if (!command) return;
    onClose();
    command.run();
  };

  return (
    <Dialog open onClose={onClose} title="Command palette" side="top" hideTitle>
      <input
        role="combobox"
        aria-label="Search conversations and commands"
        aria-expanded="true"
        aria-controls={listId}
        aria-activedescendant={commands.length ? `${listId}-${current}` : undefined}
        placeholder="Search conversations and commands"
        value={q}
        autoFocus
        onChange={(e) => setQ(e.target.value)}
        onKeyDown={(e) => {
          if (e.nativeEvent.isComposing) return;
          if (e.key === "ArrowDown" || e.key === "ArrowUp") {
            e.preventDefault();
            setAt((current + (e.key === "ArrowDown" ? 1 : commands.length - 1)) % Math.max(1, commands.length));
          } else if (e.key === "Enter") {
            e.preventDefault();
            pick(commands[current]);
          }
        }}
        className="sticky top-0 h-14 w-full border-b border-line bg-raised px-5 text-base outline-none placeholder:text-muted"
      />
      <ul id={listId} role="listbox" aria-label="Results" className="p-2">
        {commands.map((c, i) => (
          <li
            key={c.id}
            id={`${listId}-${i}`}
            role="option"
            aria-selected={i === current}
            onPointerMove={() => setAt(i)}
            onClick={() => pick(c)}
            className={cx("flex min-h-10 cursor-pointer items-center gap-3 rounded-lg px-3 py-1.5 text-sm touch:min-h-12 [&_svg]:size-4 [&_svg]:shrink-0 [&_svg]:text-muted", i === current && "bg-hover")}
          >
            {c.icon}
            <span className="min-w-0 flex-1">
              <span className="block truncate">{c.name}</span>
              {c.hint && <span className="block truncate text-xs text-muted">{c.hint}</span>}
            </span>
          </li>
        ))}
      </ul>
      {commands.length === 0 && <p className="px-5 pb-5 text-sm text-muted">Nothing found.</p>}
    </Dialog>
  );
}
