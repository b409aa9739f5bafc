// The test function of this folder: each page is watched while it is used.
import { test as base, expect } from "@playwright/test";
import { App } from "./app.ts";
import { origin } from "./settings.ts";

interface Fixtures {
  app: App;
  watched: void;
}

export const test = base.extend<Fixtures>({
  app: async ({ page }, use) => use(new App(page)),

  // No request leaves the origin, the content security policy is never
  // violated, and nothing throws.
  watched: [
    async ({ context }, use) => {
      const faults: string[] = [];
      const allowed = [origin, origin.replace("http:", "ws:"), "data:", "blob:", "about:"];
      const check = (url: string) => {
        if (!allowed.some((prefix) => url.startsWith(prefix))) faults.push(`request to ${url}`);
      };
      context.on("request", (request) => check(request.url()));
      context.on("page", (page) => page.on("websocket", (socket) => check(socket.url())));
      context.on("weberror", (error) => faults.push(`uncaught: ${error.error()}`));
      await context.exposeBinding("reportViolation", (_, text: string) => void faults.push(text));
      await context.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (event) => {
          const report = (window as unknown as { reportViolation(text: string): void }).reportViolation;
          report(`${event.violatedDirective} refused ${event.blockedURI}`);
        });
      });
      await use();
      expect(faults).toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };
