import { memo, useRef, type ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { openFence, splitBlocks, type Split } from "./blocks";
import { CodeBlock } from "./code-block";

function textOf(node: ReactNode): string {
  if (typeof node === "string" || typeof node === "number") return String(node);
  return Array.isArray(node) ? node.map(textOf).join("") : "";
}

const external = { target: "_blank", rel: "noopener noreferrer" } as const;

const components: Components = {
  a: ({ href, children }) =>
    href?.startsWith("#") ? <span>{children}</span> : href ? <a href={href} {...external}>{children}</a> : <span>{children}</span>,
  // Loading a picture that a model names would tell its server that, and when, it was read.
  img: ({ src, alt }) =>
    typeof src === "string" && src ? (
      <a href={src} {...external}>
        Image{alt ? `: ${alt}` : ""} (open link)
      </a>
    ) : (
      <span>{alt}</span>
    ),
  pre: ({ children }) => {
    const child = children as { props?: { className?: string; children?: ReactNode } } | undefined;
    const lang = /language-([^\s]+)/.exec(child?.props?.className ?? "")?.[1] ?? "";
    return <CodeBlock code={textOf(child?.props?.children).replace(/\n$/, "")} lang={lang} done />;
  },
  table: ({ children }) => (
    <div role="group" aria-label="Table" tabIndex={0} className="overflow-x-auto rounded-xl border border-line">
      <table>{children}</table>
    </div>
  ),
  input: ({ checked }) => <input type="checkbox" checked={!!checked} readOnly disabled aria-label={checked ? "done" : "to do"} className="mr-1.5" />,
};
const plugins: [typeof remarkGfm, { singleTilde: boolean }][] = [[remarkGfm, { singleTilde: false }]];

const Block = memo(function Block({ text }: { text: string }) {
  return (
    <div className="block">
      <ReactMarkdown remarkPlugins={plugins} components={components}>
        {text}
      </ReactMarkdown>
    </div>
  );
});

/** Long unfinished blocks are shown as plain text: parsing them again at each step is what makes pages slow. */
const lightTail = 1200;

function Tail({ text }: { text: string }) {
  const fence = openFence(text);
  if (fence) return <CodeBlock code={fence.code} lang={fence.lang} done={false} />;
  if (text.length > lightTail) return <div className="whitespace-pre-wrap">{text}</div>;
  return <Block text={text} />;
}

/** Markdown that may still be growing: finished blocks are rendered once, only the last one again. */
export const Markdown = memo(function Markdown({ text, live }: { text: string; live: boolean }) {
  const split = useRef<Split>(undefined);
  split.current = splitBlocks(text, split.current);
  const { blocks, linked } = split.current;
  if (linked && !live) return <div className="prose"><Block text={text} /></div>;
  return (
    <div className="prose">
      {blocks.map((block, i) => (live && i === blocks.length - 1 ? <Tail key={i} text={block} /> : <Block key={i} text={block} />))}
    </div>
  );
});
