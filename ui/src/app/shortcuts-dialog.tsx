import { Dialog } from "../ui/dialog";
import { Kbd } from "../ui/bits";

const mod = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl";

const rows: [string, string[]][] = [
  ["Send the question", ["Enter"]],
  ["New line", ["Shift", "Enter"]],
  ["Stop all answers", ["Esc"]],
  ["Between question and answers", ["F6"]],
  ["Go to answer 1 to 6", ["Alt", "1…6"]],
  ["Command palette", [mod, "K"]],
  ["This list", ["?"]],
];

export default function Shortcuts({ onClose }: { onClose: () => void }) {
  return (
    <Dialog open onClose={onClose} title="Keyboard shortcuts">
      <dl className="divide-y divide-line text-sm">
        {rows.map(([name, keys]) => (
          <div key={name} className="flex items-center justify-between py-2.5">
            <dt>{name}</dt>
            <dd className="flex gap-1">{keys.map((k) => <Kbd key={k}>{k}</Kbd>)}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
