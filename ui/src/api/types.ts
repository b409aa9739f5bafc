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

export interface Answer {
  id: string;
  model: string;
  model_name: string;
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
}

interface Numbered {
  seq: number;
  run: string;
}

export type RunEvent = Numbered &
  (
    | { type: "run.started"; conversation?: string; answers: { id: string; model: string; model_name: string }[] }
    | { type: "answer.started"; answer: string }
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
