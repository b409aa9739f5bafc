// Where the tests find everything. Playwright reads this once in its own process
// and once in each worker; what the first one chose is handed on by environment.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

const env = process.env;
env.E2E_PORT ??= await freePort();
env.E2E_UPSTREAM_PORT ??= await freePort();
if (!env.E2E_DATA) {
  const made = mkdtempSync(join(tmpdir(), "onemind-e2e-"));
  env.E2E_DATA = made;
  process.on("exit", () => rmSync(made, { recursive: true, force: true })); // the server has ended by then
}

export const origin = `http://127.0.0.1:${env.E2E_PORT}`;
export const upstream = `http://127.0.0.1:${env.E2E_UPSTREAM_PORT}`;
export const upstreamPort = env.E2E_UPSTREAM_PORT;
export const dataDir = env.E2E_DATA;

export const admin = { email: "admin@example.org", password: "four quiet birds at dawn", state: join(dataDir, "admin.json") };
export const member = { email: "member@example.org", password: "seven blue kites over town", state: join(dataDir, "member.json") };

/** A Chromium or Chrome: CHROMIUM, else what the system has. */
export const chromium =
  env.CHROMIUM ||
  ["/usr/bin/chromium", "/usr/bin/google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"].find(existsSync) ||
  "/usr/bin/chromium";
