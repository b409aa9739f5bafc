// Bodies of the app's HTTP API. Fields that hold money end in _nano_usd.

export interface Page<T> {
  items: T[];
  next_cursor?: string;
}

export interface AppConfig {
  version: string;
  setup_needed: boolean;
  signup_enabled: boolean;
  revision: number;
  credit_nano_usd: number;
  public_url: string;
}

export interface Balance {
  balance_nano_usd: number;
  held_nano_usd: number;
  available_nano_usd: number;
}

export interface Me extends Balance {
  id: string;
  email: string;
  name: string;
  role: "user" | "admin";
  plan: string;
  created_at: string;
}

export interface Session {
  id: string;
  user_agent: string;
  address: string;
  created_at: string;
  last_seen_at: string;
  current: boolean;
}

export interface ApiKey {
  id: string;
  name: string;
  prefix: string;
  created_at: string;
  last_used_at?: string;
  /** The most it may spend in one day (UTC); 0 or absent: no cap of its own. */
  credits_per_day_nano_usd?: number;
  /** Repeated requests of this key are answered from the response cache. */
  response_cache?: boolean;
}

export interface NewApiKey extends ApiKey {
  key: string;
}

/** Nano-dollars per 1,000,000 tokens; per request and per image as they are. */
export interface Prices {
  input_nano_usd?: number;
  cached_input_nano_usd?: number;
  cache_write_nano_usd?: number;
  output_nano_usd?: number;
  reasoning_nano_usd?: number;
  per_request_nano_usd?: number;
  per_image_nano_usd?: number;
}

export type PriceKey = keyof Prices;

export interface Model {
  id: string;
  name: string;
  provider: string;
  provider_name: string;
  context_window: number;
  max_output_tokens: number;
  capabilities: string[] | null;
  state: string;
  available: boolean;
  unavailable_reason?: "needs_key" | "provider_disabled" | "not_in_plan" | (string & {});
  prices: Prices;
}

export interface ModelList {
  revision: number;
  items: Model[];
}

export interface Usage {
  input_tokens: number;
  cached_input_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  estimated: boolean;
}

export interface AnswerError {
  code: string;
  message: string;
  retryable?: boolean;
  retry_after?: number;
}

export type AnswerState = "waiting" | "streaming" | "finished" | "stopped" | "failed";

/** Where an answer stands in the queue of its provider. */
export interface Queue {
  place: number;
  estimate_ms?: number;
}

export interface Answer {
  id: string;
  model: string;
  model_name: string;
  /** What answers when the model that was asked could not. */
  served_by?: string;
  served_by_name?: string;
  /** Why the asked model could not. */
  substitute_code?: string;
  queue?: Queue;
  /** Known from events only: another try is under way. */
  retrying?: { attempt: number; code: string };
  state: AnswerState;
  text: string;
  reasoning?: string;
  finish_reason?: string;
  error?: AnswerError;
  usage?: Usage;
  charge_nano_usd?: number;
  receipt_id?: string;
  receipt?: Receipt;
  created_at?: string;
  first_token_ms?: number;
  total_ms?: number;
}

export interface Run {
  id: string;
  conversation_id: string;
  state: "running" | "finished";
  prompt: string;
  images?: string[] | null;
  created_at: string;
  finished_at?: string;
  seq: number;
  answers: Answer[];
  selected?: string[] | null;
  retry_of?: string;
}

export interface RunRequest {
  conversation_id?: string;
  prompt: string;
  models: string[];
  images?: string[];
  max_tokens?: number;
  /** For all models of the run together. */
  max_cost_nano_usd?: number;
  system?: string;
}

export interface EstimateItem {
  model: string;
  min_nano_usd: number;
  max_nano_usd: number;
  input_tokens: number;
  max_output_tokens: number;
  /** Why this model cannot be asked. */
  code?: string;
  message?: string;
}

export interface Estimate {
  items: EstimateItem[];
  min_nano_usd: number;
  max_nano_usd: number;
  available_nano_usd: number;
}

/** One call to a provider for an answer. */
export interface Attempt {
  model: string;
  provider: string;
  /** Which of the provider's keys, from 1; absent where none is needed. */
  key?: number;
  /** "ok", "stopped" or the failure's code. */
  outcome: string;
  /** HTTP status. */
  status?: number;
  /** Since the answer began. */
  start_ms: number;
  took_ms: number;
  /** The provider's own words; administrators only. */
  detail?: string;
}

/** A parameter that was not sent as it was asked; asked and sent are JSON. */
export interface SentParameter {
  name: string;
  asked?: string;
  sent?: string;
  rule: string;
}

export interface Receipt {
  id: string;
  request_id?: string;
  model: string;
  served_by?: string;
  provider?: string;
  outcome: string;
  tokens: { input?: number; cached_input?: number; cache_write?: number; output?: number; reasoning?: number };
  counted_by?: string;
  estimated?: boolean;
  price_version?: number | string;
  prices?: Prices;
  markup_basis_points?: number;
  charge_nano_usd: number;
  hold_nano_usd?: number;
  released_nano_usd?: number;
  revision?: number;
  finish_reason?: string;
  started_at?: string;
  finished_at?: string;
  first_token_ms?: number;
  total_ms?: number;
  /** Absent or "chat"; "embeddings", "images" or "transcriptions" otherwise. */
  operation?: string;
  /** Id of the API key that was used. */
  key?: string;
  cached?: boolean;
  queue_ms?: number;
  attempts?: Attempt[] | null;
  parameters?: SentParameter[] | null;
  error?: string;
  /** Over the rest of the receipt; there when it is read by itself. */
  signature?: unknown;
}

interface Numbered {
  seq: number;
  run: string;
}

export type RunEvent = Numbered &
  (
    | { type: "run.started"; conversation?: string; answers: { id: string; model: string; model_name: string }[] }
    | { type: "answer.queued"; answer: string; place?: number; estimate_ms?: number }
    | { type: "answer.started"; answer: string }
    | { type: "answer.retrying"; answer: string; attempt?: number; code?: string }
    | { type: "answer.substituted"; answer: string; model: string; model_name?: string; code?: string }
    | { type: "answer.delta"; answer: string; text?: string; reasoning?: string }
    | { type: "answer.finished"; answer: string; finish_reason?: string; usage?: Usage; receipt?: Receipt }
    | {
        type: "answer.failed";
        answer: string;
        code: string;
        message: string;
        retryable?: boolean;
        retry_after?: number;
        receipt?: Receipt;
      }
    | { type: "run.finished" }
  );

export interface Conversation {
  id: string;
  title: string;
  pinned: boolean;
  created_at: string;
  updated_at: string;
  models?: string[] | null;
  snippet?: string;
}

export interface ConversationDetail extends Conversation {
  runs: Run[] | null;
}

export interface Transaction {
  id: string;
  kind: "grant" | "charge" | "refund" | "adjustment" | "signup" | (string & {});
  amount_nano_usd: number;
  reason?: string;
  model?: string;
  ref?: string;
  receipt_id?: string;
  created_at: string;
}
