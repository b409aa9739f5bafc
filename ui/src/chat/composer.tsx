import { ArrowUp, ImagePlus, Square, X } from "lucide-react";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Estimate, Model } from "../api/types";
import { IconButton } from "../ui/button";
import { cx } from "../ui/cx";
import { Popover } from "../ui/menu";
import { credits, range } from "../ui/money";
import { toast } from "../ui/toast";
import { sends } from "./composer-keys";
import { useEstimate } from "./estimate";
import { imagesIn, maxImages, readImage } from "./images";
import { can, strand } from "./models";
import { Options, useSpend } from "./spend";

export interface Draft {
  text: string;
  images: string[];
  /** The most it may cost. */
  spend?: number;
}

interface Props {
  team: Model[];
  conversation?: string;
  running: boolean;
  sending: boolean;
  /** Put into the box, for example when sending failed or an example was chosen. */
  offered?: Draft;
  onSend: (draft: Draft) => void;
  onStop: () => void;
}

const draftKey = (id: string | undefined) => `om.draft.${id ?? "new"}`;

function EstimateLine({ estimate, team }: { estimate: Estimate; team: Model[] }) {
  const short = estimate.available_nano_usd < estimate.max_nano_usd;
  const none = estimate.available_nano_usd < estimate.min_nano_usd || estimate.available_nano_usd <= 0;
  const names = new Map(team.map((m) => [m.id, m.name]));
  return (
    <Popover
      label="What this may cost"
      trigger={
        <button type="button" className={cx("h-8 truncate rounded-lg px-2 text-[13px] tabular-nums hover:bg-hover touch:h-11", none ? "text-danger" : short ? "text-warn" : "text-muted hover:text-text")}>
          {range(estimate.min_nano_usd, estimate.max_nano_usd)} credits
          {none && " · not enough"}
        </button>
      }
    >
      <p className="mb-2 font-semibold">What this may cost</p>
      <table className="w-full text-[13px] tabular-nums">
        <thead className="sr-only">
          <tr>
            <th>Model</th>
            <th>Credits</th>
          </tr>
        </thead>
        <tbody>
          {estimate.items.map((item, i) => (
            <tr key={item.model}>
              <td className="py-1">
                <span className="mr-2 inline-block size-2 rounded-full" style={{ background: strand(i) }} aria-hidden="true" />
                {names.get(item.model) ?? item.model}
              </td>
              <td className="py-1 text-right">{item.code ? <span className="text-danger">{item.message ?? item.code}</span> : range(item.min_nano_usd, item.max_nano_usd)}</td>
            </tr>
          ))}
          <tr className="border-t border-line font-medium">
            <td className="pt-2">In all</td>
            <td className="pt-2 text-right">{range(estimate.min_nano_usd, estimate.max_nano_usd)}</td>
          </tr>
        </tbody>
      </table>
      <p className="mt-2 text-[13px] text-muted">
        The higher figure is held while the answers are written; what they do not use comes back at once. You have {credits(estimate.available_nano_usd)} credits.
      </p>
    </Popover>
  );
}

export function Composer({ team, conversation, running, sending, offered, onSend, onStop }: Props) {
  const [text, setText] = useState(() => sessionStorage.getItem(draftKey(conversation)) ?? "");
  const [images, setImages] = useState<string[]>([]);
  const [dragging, setDragging] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const composedAt = useRef(-Infinity);
  const spend = useSpend((s) => s.nano);
  const estimate = useEstimate(text, team.map((m) => m.id), images, conversation, spend);
  const sighted = team.filter((m) => can(m, "images"));
  const blind = team.filter((m) => !can(m, "images"));

  useEffect(() => {
    if (offered) {
      setText(offered.text);
      setImages(offered.images);
      area.current?.focus();
    }
  }, [offered]);

  useEffect(() => {
    if (text) sessionStorage.setItem(draftKey(conversation), text);
    else sessionStorage.removeItem(draftKey(conversation));
  }, [text, conversation]);

  useLayoutEffect(() => {
    const el = area.current;
    if (!el) return;
    el.style.height = "auto";
    el.style.height = `${Math.min(el.scrollHeight, innerHeight * 0.4)}px`;
  }, [text]);

  const ready = (text.trim() !== "" || images.length > 0) && team.length > 0 && !sending;
  const send = () => {
    if (!ready) return;
    onSend({ text: text.trim(), images, spend });
    setText("");
    setImages([]);
  };

  const add = async (files: File[]) => {
    if (sighted.length === 0) {
      toast("None of the chosen models can see images.", { bad: true });
      return;
    }
    try {
      const read = await Promise.all(files.slice(0, maxImages).map(readImage));
      setImages((have) => [...have, ...read].slice(0, maxImages));
    } catch (error) {
      toast((error as Error).message, { bad: true });
    }
  };

  return (
    <form
      className="mx-auto w-full max-w-[52rem]"
      onSubmit={(e) => {
        e.preventDefault();
        send();
      }}
      onDragOver={(e) => {
        e.preventDefault();
        setDragging(true);
      }}
      onDragLeave={() => setDragging(false)}
      onDrop={(e) => {
        e.preventDefault();
        setDragging(false);
        const files = imagesIn(e.dataTransfer.files);
        if (files.length) void add(files);
      }}
    >
      <div
        className={cx(
          "rounded-3xl border bg-surface p-2 shadow-card transition focus-within:border-line-strong",
          dragging ? "border-accent bg-accent-soft" : "border-line",
        )}
      >
        {images.length > 0 && (
          <div className="px-2 pt-1 pb-2">
            <ul className="flex flex-wrap gap-2" aria-label="Attached images">
              {images.map((src, i) => (
                <li key={i} className="relative">
                  <img src={src} alt={`Image ${i + 1}`} className="size-16 rounded-xl border border-line object-cover" />
                  <button
                    type="button"
                    aria-label={`Remove image ${i + 1}`}
                    onClick={() => setImages(images.filter((_, j) => j !== i))}
                    className="absolute -top-1.5 -right-1.5 flex size-6 items-center justify-center rounded-full border border-line bg-raised text-soft hover:text-text"
                  >
                    <X className="size-3.5" />
                  </button>
                </li>
              ))}
            </ul>
            {blind.length > 0 && (
              <p className="mt-1.5 text-[13px] text-warn">
                {blind.map((m) => m.name).join(", ")} cannot see images.
              </p>
            )}
          </div>
        )}
        <label htmlFor="composer" className="sr-only">
          Your question
        </label>
        <textarea
          id="composer"
          ref={area}
          rows={1}
          value={text}
          placeholder={team.length > 1 ? `Ask ${team.length} models at once` : team[0] ? `Ask ${team[0].name}` : "Choose a model to ask"}
          onChange={(e) => setText(e.target.value)}
          onCompositionEnd={(e) => {
            composedAt.current = e.timeStamp;
          }}
          onKeyDown={(e) => {
            const touch = matchMedia("(pointer: coarse)").matches;
            const native = e.nativeEvent;
            if (sends(native, { touch, sinceComposition: e.timeStamp - composedAt.current })) {
              e.preventDefault();
              send();
            }
          }}
          onPaste={(e) => {
            const files = imagesIn(e.clipboardData.items);
            if (files.length === 0) return;
            e.preventDefault();
            void add(files);
          }}
          className="block max-h-[40dvh] min-h-10 w-full resize-none bg-transparent px-3 py-2 text-base outline-none placeholder:text-muted"
        />
        <div className="flex items-center gap-1">
          <input
            ref={picker}
            type="file"
            accept="image/png,image/jpeg,image/webp,image/gif"
            multiple
            hidden
            tabIndex={-1}
            aria-label="Attach images"
            onChange={(e) => {
              void add(imagesIn(e.target.files));
              e.target.value = "";
            }}
          />
          <IconButton
            label={sighted.length ? "Attach images" : "Attach images: none of the chosen models can see them"}
            disabled={sighted.length === 0}
            onClick={() => picker.current?.click()}
            className="rounded-full"
          >
            <ImagePlus />
          </IconButton>
          <Options />
          <div className="min-w-0 flex-1">{estimate && <EstimateLine estimate={estimate} team={team} />}</div>
          {running && (
            <button
              type="button"
              onClick={onStop}
              title="Stop all (Esc)"
              className="flex h-9 items-center gap-2 rounded-full border border-line px-3.5 text-sm font-medium hover:bg-hover touch:h-11"
            >
              <Square className="size-3 fill-current" aria-hidden="true" /> Stop all
            </button>
          )}
          <button
            type="submit"
            aria-label="Send"
            title="Send (Enter)"
            disabled={!ready}
            className="flex size-9 shrink-0 items-center justify-center rounded-full bg-ink text-on-ink transition hover:opacity-88 disabled:cursor-not-allowed disabled:bg-hover disabled:text-muted touch:size-11"
          >
            <ArrowUp className="size-5" />
          </button>
        </div>
      </div>
    </form>
  );
}
