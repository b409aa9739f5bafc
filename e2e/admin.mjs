// What the tests need on a fresh server, over the same API the admin page uses.
import { randomUUID } from "node:crypto";

const dollars = (amount) => Math.round(amount * 1e9);

/** Nano-dollars per million tokens: 2 dollars in, 10 dollars out. */
export const prices = {
  input_nano_usd: dollars(2),
  cached_input_nano_usd: dollars(2),
  cache_write_nano_usd: dollars(2),
  output_nano_usd: dollars(10),
  reasoning_nano_usd: dollars(10),
  per_request_nano_usd: 0,
  per_image_nano_usd: 0,
};

export class Admin {
  /** Signs in; `base` is the server's origin. */
  static async signIn(base, email, password) {
    const admin = new Admin();
    admin.base = base;
    const response = await fetch(`${base}/api/auth/login`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ email, password }),
    });
    if (!response.ok) throw new Error(`sign in as ${email}: ${response.status} ${await response.text()}`);
    admin.cookie = response.headers.getSetCookie()[0].split(";")[0];
    return admin;
  }

  async request(method, path, body, headers) {
    const response = await fetch(this.base + path, {
      method,
      headers: { "Content-Type": "application/json", "Idempotency-Key": randomUUID(), Cookie: this.cookie, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  get(path) {
    return this.request("GET", path);
  }

  post(path, body) {
    return this.request("POST", path, body);
  }

  patch(path, body) {
    return this.request("PATCH", path, body);
  }

  /** Adds the provider of upstream.mjs with one model for each of its manners. */
  async addScripted(upstream) {
    await this.post("/api/admin/providers", {
      id: "scripted",
      name: "Scripted",
      protocol: "openai",
      base_url: `${upstream}/v1`,
      api_keys: ["sk-scripted"],
      enabled: true,
      allow_private_address: true,
      max_concurrency: 50,
    });
    for (const id of ["steady", "slow", "quick", "broken"]) {
      await this.post("/api/admin/models", {
        id,
        name: id[0].toUpperCase() + id.slice(1),
        provider: "scripted",
        upstream_id: id,
        context_window: 32_000,
        max_output_tokens: 1000,
        capabilities: ["streaming"],
        prices,
      });
    }
  }

  /** Adds the provider of upstream.mjs once for each protocol, with models named like "quick-anthropic". */
  async addEngines(upstream, ids) {
    for (const [protocol, path] of Object.entries({ openai: "v1", anthropic: "v1", gemini: "v1beta" })) {
      await this.post("/api/admin/providers", {
        id: `scripted-${protocol}`,
        name: `Scripted ${protocol}`,
        protocol,
        base_url: `${upstream}/${path}`,
        api_keys: ["sk-scripted"],
        enabled: true,
        allow_private_address: true,
        max_concurrency: 50,
      });
      const parameter_rules = protocol === "openai" ? {} : { reasoning: "budget" };
      for (const id of ids) {
        await this.addModel(`${id}-${protocol}`, `scripted-${protocol}`, id, ["streaming", "tools", "images", "json", "reasoning"], { parameter_rules });
      }
    }
  }

  async addModel(id, provider, upstream_id, capabilities, more) {
    const sizes = { context_window: 32_000, max_output_tokens: 4000 };
    await this.post("/api/admin/models", { id, name: id, provider, upstream_id, ...sizes, capabilities, prices, ...more });
  }

  /**
   * Adds what does not go smoothly: a provider with a single place and two models, one whose key
   * is refused, a model that fails each first time and one that only its substitute answers.
   */
  async addTroubled(upstream) {
    const provider = { protocol: "openai", base_url: `${upstream}/v1`, enabled: true, allow_private_address: true };
    await this.post("/api/admin/providers", { id: "narrow", name: "Narrow", ...provider, api_keys: ["sk-scripted"], max_concurrency: 1 });
    await this.post("/api/admin/providers", { id: "locked", name: "Locked out", ...provider, api_keys: ["sk-no-longer-valid"], max_concurrency: 50 });
    await this.addModel("narrow-one", "narrow", "steady", ["streaming"], { name: "Narrow One" });
    await this.addModel("narrow-two", "narrow", "steady", ["streaming"], { name: "Narrow Two" });
    await this.addModel("locked", "locked", "quick", ["streaming"], { name: "Locked" });
    await this.addModel("flaky", "scripted", "flaky", ["streaming"], { name: "Flaky" });
    await this.addModel("replaced", "scripted", "broken", ["streaming"], { name: "Replaced", substitutes: ["quick"] });
  }

  async userId(email) {
    const { items } = await this.get(`/api/admin/users?q=${encodeURIComponent(email)}`);
    return items.find((user) => user.email === email).id;
  }

  async limit(email, limits) {
    await this.patch(`/api/admin/users/${await this.userId(email)}`, { limits });
  }

  /** Takes the limits of the default plan away: tests ask faster than people. */
  async unlimit() {
    const plan = (await this.get("/api/admin/plans")).items.find((one) => one.id === "default");
    const free = { requests_per_minute: 0, requests_per_minute_per_provider: 0, concurrent_answers: 0 };
    await this.request("PATCH", "/api/admin/plans/default", free, { "If-Match": `"${plan.revision}"` });
  }

  async grant(email, credits) {
    await this.post(`/api/admin/users/${await this.userId(email)}/credits`, { credits, reason: "For the tests" });
  }
}

/** Waits until `probe` gives something true. */
export async function until(probe, what, timeout = 15_000) {
  const end = Date.now() + timeout;
  for (;;) {
    const got = await probe();
    if (got) return got;
    if (Date.now() > end) throw new Error(`waited ${timeout} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
