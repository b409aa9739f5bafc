import { defineConfig } from "@playwright/test";
import { admin, chromium, dataDir, member, origin, upstream, upstreamPort } from "./settings.ts";

export default defineConfig({
  testDir: "tests",
  outputDir: "results",
  reporter: "list",
  workers: 1, // one server with one database, and two members to share it
  timeout: 60_000,
  expect: { timeout: 10_000 },
  use: {
    baseURL: origin,
    viewport: { width: 1280, height: 800 },
    trace: "retain-on-failure",
    launchOptions: {
      executablePath: chromium,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
  projects: [
    { name: "setup", testMatch: "setup.ts" },
    { name: "member", dependencies: ["setup"], testMatch: "*.spec.ts", testIgnore: "admin.spec.ts", use: { storageState: member.state } },
    { name: "admin", dependencies: ["setup"], testMatch: "admin.spec.ts", use: { storageState: admin.state } },
  ],
  webServer: [
    { command: `node upstream.mjs ${upstreamPort}`, url: `${upstream}/calls` },
    {
      command: "../bin/onemind serve",
      url: `${origin}/health`,
      stderr: "pipe",
      gracefulShutdown: { signal: "SIGTERM", timeout: 5000 },
      env: {
        ONEMIND_ADDR: new URL(origin).host,
        ONEMIND_OPS_ADDR: "off",
        ONEMIND_DATA_DIR: dataDir,
        ONEMIND_ADMIN_EMAIL: admin.email,
        ONEMIND_ADMIN_PASSWORD: admin.password,
        ONEMIND_LOG_LEVEL: "warn",
        ONEMIND_DRAIN_TIMEOUT: "1s",
      },
    },
  ],
});
