import type { Balance, RunEvent } from "./types";

export interface LiveHandlers {
  event: (event: RunEvent) => void;
  balance: (balance: Balance) => void;
  catalog: (revision: number) => void;
  conversation: (id: string, title: string) => void;
  /** The log of this run cannot be followed; read the run again. */
  lost: (run: string, code: string) => void;
  lastSeq: (run: string) => number;
  status: (online: boolean) => void;
}

type Frame = { type: string } & Record<string, unknown>;

/**
 * The one connection of this tab: a WebSocket that carries every run, the balance and catalog
 * news. Where WebSockets are blocked each run is followed over server-sent events instead.
 */
export class Live {
  private socket?: WebSocket;
  private follows = new Set<string>();
  private streams = new Map<string, EventSource>();
  private failures = 0;
  private timer?: ReturnType<typeof setTimeout>;
  private pinger?: ReturnType<typeof setInterval>;
  private lastFrame = 0;
  private closed = true;

  constructor(private readonly on: LiveHandlers) {}

  start() {
    if (!this.closed) return;
    this.closed = false;
    addEventListener("online", this.wake);
    document.addEventListener("visibilitychange", this.wake);
    this.connect();
  }

  stop() {
    this.closed = true;
    removeEventListener("online", this.wake);
    document.removeEventListener("visibilitychange", this.wake);
    clearTimeout(this.timer);
    clearInterval(this.pinger);
    this.socket?.close();
    this.socket = undefined;
    for (const source of this.streams.values()) source.close();
    this.streams.clear();
    this.follows.clear();
  }

  follow(run: string) {
    if (this.follows.has(run)) return;
    this.follows.add(run);
    if (this.open) this.send({ type: "follow", run, after: this.on.lastSeq(run) });
    else if (this.failures >= 2) this.stream(run);
  }

  unfollow(run: string) {
    if (!this.follows.delete(run)) return;
    this.streams.get(run)?.close();
    this.streams.delete(run);
    if (this.open) this.send({ type: "unfollow", run });
  }

  /** Asks again from the last event that was applied. */
  refollow(run: string) {
    this.follows.add(run);
    if (this.open) {
      this.send({ type: "unfollow", run });
      this.send({ type: "follow", run, after: this.on.lastSeq(run) });
    } else if (this.failures >= 2) {
      this.stream(run);
    }
  }

  private get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  private send(frame: Frame) {
    this.socket?.send(JSON.stringify(frame));
  }

  private wake = () => {
    if (this.closed || document.visibilityState !== "visible") return;
    if (this.socket && this.socket.readyState <= WebSocket.OPEN) return;
    clearTimeout(this.timer);
    this.connect();
  };

  private connect() {
    const url = new URL("/api/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    this.socket = socket;
    let opened = false;
    socket.onopen = () => {
      this.lastFrame = Date.now();
      for (const run of this.follows) this.send({ type: "follow", run, after: this.on.lastSeq(run) });
      clearInterval(this.pinger);
      this.pinger = setInterval(() => {
        if (Date.now() - this.lastFrame > 60_000) socket.close();
        else this.send({ type: "ping" });
      }, 25_000);
      this.on.status(true);
    };
    socket.onmessage = (message) => {
      this.lastFrame = Date.now();
      if (!opened) {
        // Only a frame proves that it works: some proxies accept the connection and then drop it.
        opened = true;
        this.failures = 0;
        for (const source of this.streams.values()) source.close();
        this.streams.clear();
      }
      this.receive(JSON.parse(message.data as string) as Frame);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      clearInterval(this.pinger);
      if (this.closed) return;
      if (!opened) this.failures++;
      this.on.status(false);
      if (this.failures >= 2) for (const run of this.follows) if (!this.streams.has(run)) this.stream(run);
      const limit = Math.min(30_000, 500 * 2 ** Math.min(this.failures, 6));
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.connect(), limit / 2 + Math.random() * limit);
    };
  }

  private receive(frame: Frame) {
    switch (frame.type) {
      case "balance":
        this.on.balance(frame as unknown as Balance);
        break;
      case "catalog":
        this.on.catalog(frame.revision as number);
        break;
      case "conversation":
        this.on.conversation(frame.id as string, frame.title as string);
        break;
      case "error":
        if (frame.run) this.on.lost(frame.run as string, String(frame.code));
        break;
      case "reconnect":
        this.socket?.close();
        break;
      case "pong":
        break;
      default:
        if (frame.run && frame.seq) this.deliver(frame as unknown as RunEvent);
    }
  }

  private deliver(event: RunEvent) {
    if (event.type === "run.finished") {
      this.follows.delete(event.run);
      this.streams.get(event.run)?.close();
      this.streams.delete(event.run);
    }
    this.on.event(event);
  }

  private stream(run: string) {
    this.streams.get(run)?.close();
    const source = new EventSource(`/api/runs/${run}/events?after=${this.on.lastSeq(run)}`);
    this.streams.set(run, source);
    source.onmessage = (message) => this.deliver(JSON.parse(message.data as string) as RunEvent);
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED || this.streams.get(run) !== source) return;
      this.streams.delete(run);
      if (this.follows.has(run)) this.on.lost(run, "stream_closed");
    };
  }
}
