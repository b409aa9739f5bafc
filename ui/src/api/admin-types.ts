import type { Prices } from "./types";

export type ModelState = "active" | "hidden" | "disabled";

export interface AdminModel {
  id: string;
  provider: string;
  upstream_id: string;
  name: string;
  state: ModelState;
  context_window: number;
  max_output_tokens: number;
  capabilities: string[] | null;
  prices: Prices;
  price_version?: number | string;
  price_source?: string;
  price_as_of?: string;
  aliases?: string[] | null;
  revision: number;
}

export interface PriceVersion {
  version: number | string;
  prices: Prices;
  effective_at: string;
  source?: string;
  author?: string;
  created_at: string;
  current: boolean;
}

export interface Provider {
  id: string;
  name: string;
  protocol: string;
  base_url: string;
  enabled: boolean;
  keys: { id: string; last4: string; created_at: string }[] | null;
  needs_key: boolean;
  allow_private_address?: boolean;
  max_concurrency?: number;
  timeouts?: { connect?: string; first_token?: string; idle?: string };
  revision: number;
}

export interface TestResult {
  ok: boolean;
  model?: string;
  latency_ms?: number;
  code?: string;
  message?: string;
}

export interface Plan {
  id: string;
  requests_per_minute: number;
  requests_per_minute_per_provider: number;
  concurrent_answers: number;
  tokens_per_minute: number;
  credits_per_day: number;
  models: string[] | null;
  revision: number;
}

export interface Settings {
  markup_percent: number | string;
  default_plan: string;
  signup_credits: number | string;
  signup_enabled: boolean;
  global_requests_per_minute: number;
  response_cache: boolean;
  revision?: number;
}

export interface AdminUser {
  id: string;
  email: string;
  name: string;
  role: "user" | "admin";
  state: "active" | "suspended";
  plan: string;
  balance_nano_usd: number;
  held_nano_usd: number;
  created_at: string;
  last_seen_at?: string;
  revision?: number;
}

export interface Revision {
  revision: number;
  author: string;
  note: string;
  created_at: string;
  changes: number;
  current: boolean;
  yaml?: string;
  detail?: DiffChange[] | null;
}

export interface DiffChange {
  kind: string;
  id: string;
  op: "add" | "change" | "remove";
  fields: { field: string; before?: unknown; after?: unknown }[] | null;
}

export interface RevisionDiff {
  from: number;
  to: number;
  changes: DiffChange[] | null;
}

export interface AuditRow {
  id: string;
  actor: string;
  action: string;
  object: string;
  before?: unknown;
  after?: unknown;
  address?: string;
  created_at: string;
}

export interface UsageRow {
  day: string;
  model: string;
  requests: number;
  input_tokens: number;
  output_tokens: number;
  charge_nano_usd: number;
  /** What the provider charges; absent where it is not known. */
  cost_nano_usd?: number;
}

export interface Instance {
  instance: string;
  revision: number;
  started_at: string;
  version: string;
  open_answers: number;
  healthy: boolean;
  problem: string;
  seen_ms: number;
  this: boolean;
  boot: string;
}

export interface Instances {
  items: Instance[];
  revision: number;
  serving: number;
  rollout: { revision: number; instances: number; ms: number; at: string } | null;
}

export interface LedgerReport {
  ok: boolean;
  entries_nano_usd: number;
  balances_nano_usd: number;
  open_holds_nano_usd: number;
  held_nano_usd: number;
  accounts: number;
  transactions: number;
  open_holds: number;
  oldest_hold_at?: string;
  problems: unknown[] | null;
  checked_at: string;
}
