// Starts a fresh server with the scripted provider, for one test file.
import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Admin, until } from "../admin.mjs";
import { start } from "../upstream.mjs";

const binary = resolve(import.meta.dirname, "../../bin/onemind");
const admin = { email: "admin@example.org", password: "four quiet birds at dawn" };

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** The protocols that engines speak: every client is tried against each. */
export const engines = ["openai", "anthropic", "gemini"];

/** A tool by its name; its arguments are those that the scripted provider gives. */
export const toolSchema = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" }, note: { type: "string" } },
  required: ["city", "days", "note"],
  additionalProperties: false,
};

/** A JSON schema of what the scripted provider says when it is asked for JSON. */
export const personSchema = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};

export class Server {
  static async start() {
    const s = new Server();
    s.dataDir = await mkdtemp(join(tmpdir(), "onemind-sdk-"));
    s.provider = await start(0);
    s.upstream = `http://127.0.0.1:${s.provider.address().port}`;
    const port = await freePort();
    s.origin = `http://127.0.0.1:${port}`;
    s.env = {
      PATH: process.env.PATH, // and no provider's key
      HOME: process.env.HOME,
      ONEMIND_ADDR: `127.0.0.1:${port}`,
      ONEMIND_OPS_ADDR: "off",
      ONEMIND_DATA_DIR: s.dataDir,
      ONEMIND_ADMIN_EMAIL: admin.email,
      ONEMIND_ADMIN_PASSWORD: admin.password,
      ONEMIND_LOG_LEVEL: "warn",
      ONEMIND_DRAIN_TIMEOUT: "1s",
    };
    s.process = spawn(binary, ["serve"], { env: s.env, stdio: ["ignore", "inherit", "inherit"] });
    s.exited = new Promise((done) => {
      s.process.once("exit", done);
      s.process.once("error", done);
    });
    try {
      await until(() => s.healthy(), "the server to be healthy");
      s.admin = await Admin.signIn(s.origin, admin.email, admin.password);
      await s.admin.addScripted(s.upstream);
      await s.admin.unlimit();
      await s.admin.addEngines(s.upstream, ["quick", "thinker", "broken", "busy"]);
    } catch (error) {
      await s.stop();
      throw error;
    }
    return s;
  }

  async healthy() {
    if (this.process.exitCode !== null) throw new Error(`onemind serve ended with ${this.process.exitCode}`);
    return fetch(`${this.origin}/health`).then(
      (response) => response.ok,
      () => false,
    );
  }

  /** Runs a command beside the server and gives what it prints. */
  run(...args) {
    return execFileSync(binary, args, { env: this.env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  }

  /** Makes a user with credits and gives an API key of theirs. */
  keyOf(email, credits) {
    this.run("user", "create", "--email", email, "--role", "user", "--credits", String(credits));
    return this.run("key", "create", "--user", email).trim();
  }

  /** What the provider was asked last. */
  async last() {
    return (await fetch(`${this.upstream}/last`)).json();
  }

  async calls() {
    return (await fetch(`${this.upstream}/calls`)).json();
  }

  async stop() {
    this.process.kill("SIGTERM");
    await this.exited;
    this.provider.closeAllConnections();
    this.provider.close();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
