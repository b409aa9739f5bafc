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

  async request(method, path, body) {
    const response = await fetch(this.base + path, {
      method,
      headers: { "Content-Type": "application/json", "Idempotency-Key": randomUUID(), Cookie: this.cookie },
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

  async userId(email) {
    const { items } = await this.get(`/api/admin/users?q=${encodeURIComponent(email)}`);
    return items.find((user) => user.email === email).id;
  }

  async limit(email, limits) {
    await this.patch(`/api/admin/users/${await this.userId(email)}`, { limits });
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
