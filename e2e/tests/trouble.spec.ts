// What a person sees when an answer does not come straight away, and what the receipt says of it.
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Admin } from "../admin.mjs";
import { admin, origin } from "../settings.ts";
import { expect, test } from "../test.ts";
import { textOf } from "../upstream.mjs";

const binary = resolve(import.meta.dirname, "../../bin/onemind");

test.beforeEach(async ({ page, app }) => {
  await page.goto("/");
  await expect(app.prompt).toBeVisible();
});

test("an answer that waits says its place, is announced once, and its receipt tells how long", async ({ page, app }) => {
  await app.choose("Narrow One", "Narrow Two");
  await app.ask("Only one of you at a time.");
  const place = page.getByText(/^Waiting, place 1/);
  await expect(place).toBeVisible();
  await expect(app.told(/: waiting, place 1/)).toHaveCount(1);
  const waiting = (await page.getByRole("region", { name: /^Answer/ }).filter({ has: place }).getAttribute("aria-label"))!.includes("One") ? "Narrow One" : "Narrow Two";
  for (const model of ["Narrow One", "Narrow Two"]) await expect(await app.ended(model)).toContainText(textOf("steady"));
  await expect(place).toBeHidden();
  await expect(await app.openReceipt(waiting)).toContainText(/Waited for a place/);
});

test("a failure before the first word is tried again, and the receipt lists both attempts", async ({ page, app }) => {
  await app.choose("Flaky");
  await app.ask("Take two.");
  await expect(page.getByText("Trying again", { exact: true })).toBeVisible();
  await expect(app.told(/Flaky: trying again/)).toHaveCount(1);
  await expect(await app.ended("Flaky")).toContainText(textOf("flaky"));
  await expect(page.getByText("Trying again", { exact: true })).toBeHidden();
  const receipt = await app.openReceipt("Flaky");
  const rows = receipt.getByRole("region", { name: "Attempts in order" }).getByRole("row");
  await expect(rows).toHaveCount(3); // and the head
  await expect(rows.nth(1)).toContainText(/Failed.*500/);
  await expect(rows.nth(2)).toContainText("Answered");
});

test("another model answers: the column says who, for whom and why, after a reload too", async ({ page, app }) => {
  await app.choose("Replaced");
  await app.ask("Somebody has to.");
  const column = await app.ended("Replaced");
  await expect(column).toContainText(textOf("quick"));
  const note = column.getByRole("note", { name: "Substitution" });
  await expect(note).toContainText("Answered by Quick instead of Replaced");
  await expect(note).toContainText(/Replaced could not answer because .+\. You pay the cheaper/);
  await page.reload();
  await expect(column.getByRole("note", { name: "Substitution" })).toContainText("Answered by Quick instead of Replaced");
  await expect(await app.openReceipt("Replaced")).toContainText("Quick, priced at the cheaper of the two");
});

test("a receipt is downloaded as the server signed it, with the keys to check it", async ({ page, app }) => {
  await app.choose("Quick");
  await app.ask("May I have a receipt?");
  await app.ended("Quick");
  const receipt = await app.openReceipt("Quick");
  await expect(receipt).toContainText("onemind receipt verify");
  const coming = page.waitForEvent("download");
  await receipt.getByRole("link", { name: "Download" }).click();
  const file = await coming;
  expect(file.suggestedFilename()).toMatch(/^receipt-.+\.json$/);
  const text = await readFile(await file.path(), "utf8");
  const id = JSON.parse(text).id as string;
  expect(text).toBe(await (await page.request.get(`/api/receipts/${id}`)).text());

  // The two files and the program are all that it takes.
  const keys = page.waitForEvent("download");
  await receipt.getByRole("link", { name: "public keys" }).click();
  const verdict = execFileSync(binary, ["receipt", "verify", await file.path(), "--keys", await (await keys).path()], { encoding: "utf8" });
  expect(verdict).toContain(id);
});

test("an answer ends cleanly at what a question may cost", async ({ page, app }) => {
  await app.choose("Slow");
  await app.tabTo(page.getByRole("button", { name: /^Options/ }));
  await page.keyboard.press("Enter");
  await page.getByRole("textbox", { name: "Spend at most (credits)" }).fill("0.05");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("button", { name: "Options: spend at most 0.05 credits" })).toBeVisible();
  const sent = page.waitForRequest((request) => request.url().endsWith("/api/runs") && request.method() === "POST");
  await app.ask("Not too much, please.");
  expect((await sent).postDataJSON()).toMatchObject({ max_cost_nano_usd: 500_000 });
  await expect(await app.ended("Slow")).toContainText("reached its length or credit limit");
  const { items } = await (await page.request.get("/api/credits/transactions?limit=1")).json();
  expect(-items[0].amount_nano_usd).toBeLessThanOrEqual(500_000);
});

test("a repeated question comes from the response cache, free, when it is on", async ({ page, app }) => {
  const api = await Admin.signIn(origin, admin.email, admin.password);
  const cache = async (on: boolean) => {
    const { revision } = await api.get("/api/admin/settings");
    await api.request("PATCH", "/api/admin/settings", { response_cache: on }, { "If-Match": `"${revision}"` });
  };
  await cache(true);
  try {
    for (const expected of ["credits", "Cached, free"]) {
      await page.goto("/");
      await app.choose("Quick");
      await app.ask("The same again?");
      await expect(await app.ended("Quick")).toContainText(expected);
    }
    await expect(await app.openReceipt("Quick")).toContainText("Served from cache, free");
  } finally {
    await cache(false);
  }
});

test("an API key is made and changed with a cap of a day and the response cache", async ({ page, app }) => {
  await page.goto("/keys");
  await app.settled();
  await page.getByRole("button", { name: "Create key" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Name" }).fill("night job");
  await dialog.getByRole("textbox", { name: "Credits per day" }).fill("2.5");
  await dialog.getByRole("switch", { name: /response cache/ }).click();
  await dialog.getByRole("button", { name: "Create key" }).click();
  await dialog.getByRole("button", { name: "I have copied it" }).click();
  const row = page.getByRole("row", { name: /night job/ });
  await expect(row.getByRole("cell").nth(2)).toHaveText("2.5");
  await expect(row.getByRole("cell").nth(3)).toHaveText("on");

  await row.getByRole("button", { name: "Change night job" }).click();
  await expect(dialog.getByRole("textbox", { name: "Credits per day" })).toHaveValue("2.5");
  await dialog.getByRole("textbox", { name: "Credits per day" }).fill("much");
  await expect(dialog.getByRole("button", { name: "Save" })).toBeDisabled();
  await dialog.getByRole("textbox", { name: "Credits per day" }).fill("");
  await dialog.getByRole("switch", { name: /response cache/ }).click();
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(row.getByRole("cell").nth(2)).toHaveText("no limit");
  await expect(row.getByRole("cell").nth(3)).toHaveText("off");
});
