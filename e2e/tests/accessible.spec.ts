// Every page that a link leads to, in light and in dark, has no serious fault.
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import type { App } from "../app.ts";
import { admin } from "../settings.ts";
import { expect, test } from "../test.ts";

const adminPages = ["models", "providers", "plans", "settings", "users", "revisions", "audit", "ledger", "usage", "instances"].map((name) => `/admin/${name}`);

async function faults(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]).analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ target }) => `${new URL(page.url()).pathname}: ${id} at ${target.join(" ")}`));
}

/** The given pages and every page that a link on them leads to; one conversation stands for all. */
async function everyPage(page: Page, app: App, known: string[]): Promise<string[]> {
  const found: string[] = [];
  const seen = new Set<string>(known);
  const queue = [...known];
  for (let path = queue.shift(); path; path = queue.shift()) {
    await page.goto(path);
    await app.settled();
    found.push(...(await faults(page)));
    const links = await page.locator('a[href^="/"]:not([download])').evaluateAll((all) => all.map((a) => new URL((a as HTMLAnchorElement).href).pathname));
    for (const link of links) {
      const kind = link.replace(/^\/c\/.*/, "/c/");
      if (seen.has(kind) || /^\/(docs|openapi|api|v1)\b/.test(link)) continue;
      seen.add(kind);
      queue.push(link);
    }
  }
  return found;
}

for (const colorScheme of ["light", "dark"] as const) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme, contextOptions: { reducedMotion: "reduce" } }); // no fade half-way when it is measured

    test.describe("signed out", () => {
      test.use({ storageState: { cookies: [], origins: [] } });

      test("signing in", async ({ page }) => {
        await page.goto("/login");
        await expect(page.getByLabel(/e-?mail/i)).toBeVisible();
        expect(await faults(page)).toEqual([]);
      });
    });

    test("an answer and an error card", async ({ page, app }) => {
      await page.goto("/");
      await app.choose("Quick", "Broken");
      await app.ask("Show both.");
      await app.ended("Quick");
      await app.ended("Broken", "failed");
      expect(await faults(page)).toEqual([]);
    });

    test("a waiting answer, a substitution, the options and a receipt", async ({ page, app }) => {
      await page.goto("/");
      await app.choose("Narrow One", "Narrow Two", "Replaced");
      await app.tabTo(page.getByRole("button", { name: /^Options/ }));
      await page.keyboard.press("Enter");
      await expect(page.getByRole("dialog", { name: "Options" })).toBeVisible();
      expect(await faults(page)).toEqual([]);
      await page.keyboard.press("Escape");
      await app.ask("Show all of it.");
      await expect(page.getByText(/^Waiting, place/)).toBeVisible();
      expect(await faults(page)).toEqual([]);
      const column = await app.ended("Replaced");
      await expect(column.getByRole("note", { name: "Substitution" })).toBeVisible();
      expect(await faults(page)).toEqual([]);
      await app.openReceipt("Replaced");
      expect(await faults(page)).toEqual([]);
      await page.keyboard.press("Escape");
      for (const model of ["Narrow One", "Narrow Two"]) await app.ended(model);
    });

    test("the dialog of an API key", async ({ page, app }) => {
      await page.goto("/keys");
      await app.settled();
      await page.getByRole("button", { name: "Create key" }).first().click();
      await expect(page.getByRole("dialog", { name: "Create an API key" })).toBeVisible();
      expect(await faults(page)).toEqual([]);
    });

    test("a member's pages", async ({ page, app }) => {
      test.slow();
      expect(await everyPage(page, app, ["/", "/credits", "/keys", "/settings"])).toEqual([]);
    });

    test.describe("as an admin", () => {
      test.use({ storageState: admin.state });

      test("alerts and editors", async ({ page, app }) => {
        // The locked provider may have been mended by now, so the alerts are told here.
        const since = new Date(Date.now() - 600_000).toISOString();
        const said = { provider: "scripted", detail: "Incorrect API key provided.", since, last: since, count: 3, instance: "one" };
        const items = [
          { ...said, id: "1", severity: "error", code: "provider_key_refused", text: "Scripted refuses the key. Put in a valid one." },
          { ...said, id: "2", severity: "warning", code: "provider_unknown_model", model: "slow", text: "Scripted does not know the model slow." },
        ];
        await page.route("**/api/admin/alerts", (route) => route.fulfill({ json: { items } }));
        const dialog = page.getByRole("dialog");
        for (const [path, open] of [["/admin/providers#scripted", /^Edit: Scripted$/], ["/admin/models", /^Quick/], ["/admin/plans", /^Edit default/], ["/admin/users", /^Manage/]] as const) {
          await page.goto(path);
          await app.settled();
          await expect(page.getByRole("status", { name: "Alerts" })).toContainText("Scripted refuses the key");
          expect(await faults(page)).toEqual([]);
          await page.getByRole("button", { name: open }).first().click();
          await expect(dialog).toBeVisible();
          if (path === "/admin/models") {
            await dialog.getByRole("combobox", { name: "Add a substitute" }).selectOption("slow");
            await dialog.getByRole("button", { name: "Add a range" }).click();
            await dialog.getByRole("textbox", { name: "Smallest of range 1" }).fill("1");
          }
          expect(await faults(page)).toEqual([]);
        }
      });

      test("an admin's pages", async ({ page, app }) => {
        test.slow();
        expect(await everyPage(page, app, adminPages)).toEqual([]);
      });
    });
  });
}
