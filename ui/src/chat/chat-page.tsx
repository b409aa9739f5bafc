import { useQuery } from "@tanstack/react-query";
import { ArrowDown } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useNavigate, useParams, useSearchParams } from "react-router";
import { asProblem, get, newKey, type Problem } from "../api/client";
import type { ConversationDetail, RunRequest } from "../api/types";
import { live } from "../app/live";
import { useMe } from "../app/session";
import { ShellHeader } from "../app/shell";
import { useMedia } from "../ui/use-media";
import { ErrorBox, Skeleton } from "../ui/bits";
import { Button } from "../ui/button";
import { cx } from "../ui/cx";
import { selectAnswers, startRun, stopRun } from "./actions";
import { Announcer } from "./announcer";
import type { Slot } from "./answer-column";
import { Composer, type Draft } from "./composer";
import { ModelPicker, TeamChips } from "./model-picker";
import { setTeam, strand, useModels, useTeam } from "./models";
import { putRun, useRuns } from "./run-store";
import { Prompt, Turn } from "./turn";
import { useStick } from "./use-stick";
import { Welcome } from "./welcome";
import { useShortcuts } from "./use-shortcuts";

interface Pending {
  body: RunRequest;
  key: string;
  problem?: Problem;
}

function useConversation(id: string | undefined) {
  const query = useQuery({
    queryKey: ["conversation", id],
    queryFn: ({ signal }) => get<ConversationDetail>(`/api/conversations/${id}`, signal),
    enabled: !!id,
    staleTime: 0,
    refetchOnMount: "always",
  });
  const { data } = query;
  useEffect(() => {
    for (const run of data?.runs ?? []) {
      putRun(run);
      if (run.state === "running") live.follow(run.id);
    }
  }, [data]);
  // Runs that are no longer on the page need not be followed any more.
  useEffect(() => {
    if (!id) return;
    return () => {
      for (const run of Object.values(useRuns.getState().runs)) {
        if (run.conversation_id === id && run.state === "running") live.unfollow(run.id);
      }
    };
  }, [id]);
  return query;
}

/** Retries belong to the turn whose answer they repeat. */
function turnsOf(detail: ConversationDetail | undefined): { id: string; retries: string[] }[] {
  const turns: { id: string; retries: string[]; answers: Set<string> }[] = [];
  for (const run of detail?.runs ?? []) {
    const home = run.retry_of && turns.find((t) => t.answers.has(run.retry_of!));
    if (home) {
      home.retries.push(run.id);
      for (const a of run.answers) home.answers.add(a.id);
    } else {
      turns.push({ id: run.id, retries: [], answers: new Set(run.answers.map((a) => a.id)) });
    }
  }
  return turns;
}

function PendingTurn({ pending, names, onRetry, onDrop }: { pending: Pending; names: string[]; onRetry: () => void; onDrop: () => void }) {
  return (
    <div className={cx("mx-auto flex w-full flex-col gap-2", names.length > 1 ? "max-w-[80rem]" : "max-w-[52rem]")}>
      <Prompt text={pending.body.prompt} images={pending.body.images} />
      {pending.problem ? (
        <div className="mx-auto flex w-full max-w-[52rem] flex-col gap-2">
          <ErrorBox error={pending.problem} title="This was not sent." />
          <div className="flex gap-2">
            <Button size="sm" variant="primary" onClick={onRetry}>
              Send again
            </Button>
            <Button size="sm" onClick={onDrop}>
              Edit
            </Button>
          </div>
        </div>
      ) : (
        <div className="grid auto-cols-[minmax(min(19.5rem,86vw),1fr)] grid-flow-col gap-3 overflow-hidden pt-1" role="status" aria-label="Sending">
          {names.map((name, i) => (
            <div key={name} className="relative rounded-2xl border border-line bg-surface p-4">
              <span className="absolute inset-x-5 -top-px h-[3px] rounded-b-full" style={{ background: strand(i) }} />
              <p className="text-sm font-semibold">{name}</p>
              <p className="thinking mt-2 text-muted" aria-hidden="true">
                <span>●</span> <span>●</span> <span>●</span>
              </p>
            </div>
          ))}
        </div>
      )}
    </div>
  );
}

export default function ChatPage() {
  const { id } = useParams();
  const navigate = useNavigate();
  const [params, setParams] = useSearchParams();
  const me = useMe();
  const models = useModels();
  const team = useTeam(models.data?.items);
  const phone = useMedia("(max-width: 700px)");
  const detail = useConversation(id);
  const [picking, setPicking] = useState(false);
  const [pending, setPending] = useState<Pending>();
  const [offered, setOffered] = useState<Draft>();
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const fresh = !id && !pending;
  const { away, jump } = useStick(scroller, content, !fresh);

  const asked = params.get("models");
  useEffect(() => {
    if (asked === null) return;
    setTeam(asked.split(",").map((m) => m.trim()).filter(Boolean));
    setParams((p) => (p.delete("models"), p), { replace: true });
  }, [asked, setParams]);

  const turns = useMemo(() => turnsOf(detail.data), [detail.data]);
  const runIds = useMemo(() => turns.flatMap((t) => [t.id, ...t.retries]), [turns]);
  const running = useRuns((s) => runIds.some((r) => s.runs[r]?.state === "running"));
  const last = turns.at(-1);
  const building = useRuns((s) => (last ? [last.id, ...last.retries].flatMap((r) => s.runs[r]?.selected ?? []).length : 0));

  const title = detail.data?.title;
  useEffect(() => {
    document.title = id && title ? `${title} · OneMind` : "OneMind";
  }, [id, title]);

  useEffect(() => {
    setPending(undefined);
    if (id) jump();
    else if (scroller.current) scroller.current.scrollTop = 0;
  }, [id, jump]);

  const submit = useCallback(
    async (next: Pending) => {
      setPending({ ...next, problem: undefined });
      jump();
      try {
        const run = await startRun(next.body, next.key);
        setPending(undefined);
        if (!next.body.conversation_id) void navigate(`/c/${run.conversation_id}`);
      } catch (error) {
        setPending({ ...next, problem: asProblem(error) });
      }
    },
    [jump, navigate],
  );

  const send = (draft: Draft) => {
    const body: RunRequest = {
      prompt: draft.text,
      models: team.map((m) => m.id),
      conversation_id: id,
      images: draft.images.length ? draft.images : undefined,
      max_cost_nano_usd: draft.spend,
    };
    setOffered(undefined);
    void submit({ body, key: newKey() });
  };

  const stopAll = useCallback(() => {
    const { runs } = useRuns.getState();
    for (const run of runIds) if (runs[run]?.state === "running") void stopRun(run);
  }, [runIds]);

  const switchModel = useCallback((slot: Slot) => {
    setOffered({ text: slot.run.prompt, images: slot.run.images ?? [] });
    setPicking(true);
  }, []);

  useShortcuts({ onStop: running ? stopAll : undefined });

  const clearSelection = () => {
    const { runs } = useRuns.getState();
    for (const r of last ? [last.id, ...last.retries] : []) {
      const run = runs[r];
      if (run?.selected?.length) void selectAnswers(run, []);
    }
  };

  const names = pending ? pending.body.models.map((m) => models.data?.items.find((x) => x.id === m)?.name ?? m) : [];

  return (
    <div className="flex h-full min-h-0 flex-col">
      <ShellHeader>
        {models.isPending ? <Skeleton className="h-8 w-56 rounded-full" /> : <TeamChips team={team} onOpen={() => setPicking(true)} />}
      </ShellHeader>
      <h1 className="sr-only">{fresh ? "New chat" : title || "Chat"}</h1>
      <div className="relative min-h-0 flex-1">
        <div ref={scroller} id="transcript" role="region" aria-label="Conversation" aria-live="off" tabIndex={0} className="relative h-full overflow-y-auto px-3 sm:px-6">
          <div ref={content} className={fresh ? "flex min-h-full flex-col justify-center py-8" : "flex flex-col gap-7 py-5"}>
            {models.error && <ErrorBox error={models.error} title="The models could not be loaded." onRetry={() => void models.refetch()} />}
            {fresh && <Welcome name={me?.name.split(" ")[0] ?? ""} models={team.length} onPick={(text) => setOffered({ text, images: [] })} />}
            {id && detail.isPending && (
              <div role="status" aria-label="Loading the conversation" className="mx-auto flex w-full max-w-[80rem] flex-col gap-5">
                <Skeleton className="h-11 w-2/5 self-end rounded-2xl" />
                <Skeleton className="h-64 rounded-2xl" />
              </div>
            )}
            {id && detail.error && <ErrorBox error={detail.error} title="This conversation could not be opened." onRetry={() => void detail.refetch()} />}
            {turns.map((turn) => (
              <Turn key={turn.id} id={turn.id} retries={turn.retries} phone={phone} onSwitch={switchModel} />
            ))}
            {pending && (
              <PendingTurn
                pending={pending}
                names={names}
                onRetry={() => void submit(pending)}
                onDrop={() => {
                  setOffered({ text: pending.body.prompt, images: pending.body.images ?? [] });
                  setPending(undefined);
                }}
              />
            )}
          </div>
        </div>
        {away && (
          <button
            type="button"
            onClick={jump}
            className="absolute bottom-3 left-1/2 flex h-9 -translate-x-1/2 items-center gap-1.5 rounded-full border border-line bg-raised px-3.5 text-[13px] font-medium shadow-card touch:h-11"
          >
            <ArrowDown className="size-4" aria-hidden="true" /> Jump to latest
          </button>
        )}
      </div>
      <div className="px-3 pt-1 pb-[max(0.75rem,env(safe-area-inset-bottom))] sm:px-6">
        {building > 0 && (
          <p className="mx-auto mb-1.5 flex max-w-[52rem] items-center gap-2 px-3 text-[13px] text-accent">
            The next turn builds on {building === 1 ? "the answer" : `the ${building} answers`} you chose.
            <button type="button" className="font-medium underline underline-offset-2" onClick={clearSelection}>
              Clear
            </button>
          </p>
        )}
        <Composer
          key={id ?? "new"}
          team={team}
          conversation={id}
          running={running}
          sending={!!pending && !pending.problem}
          offered={offered}
          onSend={send}
          onStop={stopAll}
        />
      </div>
      <Announcer runs={runIds} />
      {models.data && <ModelPicker open={picking} onClose={() => setPicking(false)} models={models.data.items} team={team} />}
    </div>
  );
}
