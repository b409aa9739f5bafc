import { Mark } from "../ui/logo";

const examples = [
  { title: "Compare", text: "Compare three ways to price a small SaaS product. Give a table with the trade-offs, then your pick." },
  { title: "Explain", text: "Explain how a transformer model works to someone who knows spreadsheets but no maths." },
  { title: "Write", text: "Write a friendly email that moves a meeting from Tuesday to Thursday and asks for the agenda." },
  { title: "Code", text: "Write a Go function that merges two sorted slices, with a table-driven test." },
];

export function Welcome({ name, models, onPick }: { name: string; models: number; onPick: (text: string) => void }) {
  return (
    <div className="mx-auto flex w-full max-w-[52rem] flex-col items-center px-1 text-center">
      <Mark className="mb-4 size-14" />
      <h1 className="text-2xl font-semibold sm:text-[1.75rem]">{name ? `What is on your mind, ${name}?` : "What is on your mind?"}</h1>
      <p className="mt-2 text-muted">
        {models > 1 ? `One question, ${models} models, answers side by side. Keep the parts you like.` : "Ask here. Add models above to get several answers side by side."}
      </p>
      <ul className="mt-8 grid w-full gap-2.5 sm:grid-cols-2">
        {examples.map((e, i) => (
          <li key={e.title} className={i > 1 ? "max-sm:hidden" : undefined}>
            <button
              type="button"
              onClick={() => onPick(e.text)}
              className="h-full w-full rounded-2xl border border-line bg-surface px-4 py-3 text-left transition hover:border-line-strong"
            >
              <span className="text-sm font-semibold">{e.title}</span>
              <span className="mt-0.5 line-clamp-2 block text-sm text-muted">{e.text}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
