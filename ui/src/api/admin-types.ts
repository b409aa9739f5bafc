import type { Prices } from "./types";

export type ModelState = "active" | "hidden" | "disabled";

export interface Range {
  min: number;
  max: number;
}

/** What a model does with parameters; what the editor does not show is kept as it is. */
export interface ParameterRules {
  clamp?: Record<string, Range> | null;
  reasoning?: string;
  cancel_bills?: boolean;
  [rule: string]: unknown;
}

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
  /** Models that may answer when this one cannot, in order. */
  substitutes?: string[] | null;
  /** Day on which the provider takes it away, such as 2027-03-31. */
  retires_on?: string;
  parameter_rules?: ParameterRules;
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
  keyless?: boolean;
  allow_private_address?: boolean;
  /** Answers at once; 0: no bound. */
  max_concurrency?: number;
  /** Answers that may wait for a place; 0: the default. */
  max_waiting?: number;
  /** How long one waits at most, such as "30s"; empty: the default. */
  max_wait?: string;
  /** Such as "1m30s"; empty: the default. */
  timeouts?: { connect?: string; first_token?: string; idle?: string; whole?: string };
  revision: number;
}

/** Something that an operator has to look at. */
export interface Alert {
  id: string;
  severity: "error" | "warning" | (string & {});
  code: string;
  provider?: string;
  model?: string;
  /** What it is and what to do, in a sentence. */
  text: string;
  /** The provider's own words. */
  detail?: string;
  since: string;
  last?: string;
  count?: number;
  instance?: string;
}

export interface UpstreamTarget {
  model?: string;
  /** Which of the provider's keys, from 1. */
  key?: number | string;
  state: "closed" | "open" | "half_open" | (string & {});
  cooling_until?: string;
  fault?: string;
  since?: string;
  /** Of the last 30 seconds. */
  calls?: number;
  /** How many of them failed. */
  failures?: number;
  detail?: string;
}

/** How one provider stands at this instance. */
export interface Upstream {
  provider: string;
  running: number;
  waiting: number;
  /** 0: no bound. */
  places: number;
  targets: UpstreamTarget[] | null;
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
  credits_per_day_nano_usd: number;
  response_cache?: boolean;
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

/** A user's own limits; what is absent is as in the plan. */
export interface Limits {
  requests_per_minute?: number;
  requests_per_minute_per_provider?: number;
  concurrent_answers?: number;
  tokens_per_minute?: number;
  credits_per_day_nano_usd?: number;
}

export interface AdminUser {
  id: string;
  email: string;
  name: string;
  role: "user" | "admin";
  state: "active" | "suspended";
  plan: string;
  limits?: Limits;
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
