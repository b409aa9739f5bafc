/** What the server said when it refused (RFC 9457), or what we say when it said nothing. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId?: string,
    readonly field?: string,
    readonly retryAfter?: number,
  ) {
    super(message);
    this.name = "Problem";
  }
}

export interface Reply<T> {
  data: T;
  etag?: string;
}

interface Options {
  body?: unknown;
  /** Makes a POST that spends or grants safe to repeat. */
  idempotencyKey?: string;
  /** The row's revision as it was read. */
  ifMatch?: string;
  signal?: AbortSignal;
  /** Gives the body as text, byte for byte. */
  text?: boolean;
}

async function problemOf(response: Response): Promise<Problem> {
  const requestId = response.headers.get("x-request-id") ?? undefined;
  const retryHeader = Number(response.headers.get("retry-after"));
  try {
    const body = (await response.json()) as Record<string, unknown>;
    return new Problem(
      response.status,
      String(body.code ?? "error"),
      String(body.title ?? body.detail ?? `The server answered ${response.status}.`),
      (body.request_id as string) ?? requestId,
      body.field as string | undefined,
      (body.retry_after as number) || retryHeader || undefined,
    );
  } catch {
    const text = response.status >= 502 ? "OneMind is not reachable right now." : `The server answered ${response.status}.`;
    return new Problem(response.status, "http_" + response.status, text, requestId, undefined, retryHeader || undefined);
  }
}

/** Called when the session is gone, so that the app can show the sign-in page. */
let onSignedOut: () => void = () => {};
export function setSignedOutHandler(handler: () => void) {
  onSignedOut = handler;
}

export async function request<T>(method: string, path: string, options: Options = {}): Promise<Reply<T>> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "GET") headers["Content-Type"] = "application/json";
  if (options.idempotencyKey) headers["Idempotency-Key"] = options.idempotencyKey;
  if (options.ifMatch) headers["If-Match"] = options.ifMatch;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      signal: options.signal,
      body: method === "GET" || method === "DELETE" ? undefined : JSON.stringify(options.body ?? {}),
    });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new Problem(0, "unreachable", "OneMind is not reachable. Check your connection.");
  }
  if (!response.ok) {
    const problem = await problemOf(response);
    if (problem.status === 401 && problem.code !== "bad_credentials") onSignedOut();
    throw problem;
  }
  const etag = response.headers.get("etag") ?? undefined;
  if (response.status === 204) return { data: undefined as T, etag };
  return { data: (await (options.text ? response.text() : response.json())) as T, etag };
}

export const get = async <T>(path: string, signal?: AbortSignal) => (await request<T>("GET", path, { signal })).data;
export const post = async <T>(path: string, body?: unknown, options: Options = {}) =>
  (await request<T>("POST", path, { ...options, body })).data;
export const patch = async <T>(path: string, body: unknown, ifMatch?: string) =>
  (await request<T>("PATCH", path, { body, ifMatch })).data;
export const put = async <T>(path: string, body: unknown) => (await request<T>("PUT", path, { body })).data;
export const del = (path: string, ifMatch?: string) => request<void>("DELETE", path, { ifMatch });

/** The ETag of a row is its revision in quotes. */
export const etagOf = (revision: number | undefined) => (revision === undefined ? undefined : `"${revision}"`);

/** A random id that also works on plain http, where crypto.randomUUID is missing. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "app_error", error instanceof Error ? error.message : "Something unexpected happened in the app.");
}

export function query(params: Record<string, string | number | undefined>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") search.set(key, String(value));
  }
  const text = search.toString();
  return text ? `?${text}` : "";
}
