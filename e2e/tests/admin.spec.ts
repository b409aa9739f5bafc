import type { Locator, Page } from "@playwright/test";
import { Admin, prices, until } from "../admin.mjs";
import { admin, member, origin } from "../settings.ts";
import { expect, test } from "../test.ts";

test("a changed price is on the next receipt, and the old receipt keeps the old price", async ({ page, app }) => {
  const api = await Admin.signIn(origin, admin.email, admin.password);
  const { markup_percent: markup } = await api.get("/api/admin/settings");
  const charge = (output: number) => Math.ceil(((100 * prices.input_nano_usd + 40 * output) * (100 + markup)) / 1e8);

  await page.goto("/");
  await app.choose("Quick");
  await app.ask("Before.");
  await app.ended("Quick");

  await page.goto("/admin/models");
  await page.getByRole("row", { name: /quick/i }).getByRole("button", { name: /edit|quick/i }).first().click();
  const form = page.getByRole("dialog");
  await form.getByLabel(/^output/i).first().fill("20");
  await form.getByRole("button", { name: /save/i }).click();
  await expect(form).toBeHidden();

  await page.goto("/");
  await app.choose("Quick");
  await app.ask("After.");
  await app.ended("Quick");

  const { items } = await api.get("/api/admin/requests?limit=2");
  const [after, before] = items;
  expect(before).toMatchObject({ model: "quick", charge_nano_usd: charge(prices.output_nano_usd) });
  expect(after).toMatchObject({ model: "quick", charge_nano_usd: charge(2 * prices.output_nano_usd) });
  expect(after.price_version).not.toBe(before.price_version);
  expect(after.revision).toBe(before.revision + 1);

  const ledger = await api.get("/api/admin/ledger");
  expect(ledger).toMatchObject({ ok: true, open_holds: 0 });
});

/** Opens the editor of a row of one of the admin lists. */
async function edit(page: Page, path: string, name: RegExp): Promise<Locator> {
  await page.goto(path);
  await page.getByRole("button", { name }).first().click();
  const form = page.getByRole("dialog");
  await expect(form).toBeVisible();
  return form;
}

async function save(form: Locator): Promise<void> {
  await form.getByRole("button", { name: /^save/i }).click();
  await expect(form).toBeHidden();
}

test("a refused key is an alert on every admin page and at its provider, until it is mended", async ({ page, app }) => {
  const api = await Admin.signIn(origin, admin.email, admin.password);
  await page.goto("/");
  await app.choose("Locked");
  await app.ask("Let me in.");
  const card = await app.ended("Locked", "failed");
  await expect(card).not.toContainText(/key is wrong/i); // the provider's words are for operators

  await page.goto("/admin/usage");
  const alerts = page.getByRole("status", { name: "Alerts" });
  await expect(alerts).toContainText(/Locked out|locked/);
  await alerts.getByRole("link", { name: "Open locked" }).click();
  await expect(page).toHaveURL(/\/admin\/providers#locked$/);
  const provider = page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "Locked out" }) });
  await expect(provider).toBeInViewport();
  await expect(provider.getByRole("list", { name: "Alerts of this provider" })).toContainText("The key is wrong.");

  await alerts.getByRole("button", { name: /^Dismiss/ }).first().click();
  await expect(alerts.getByRole("link", { name: "Open locked" })).toBeHidden();
  await page.reload();
  await expect(provider.getByRole("list", { name: "Alerts of this provider" })).toBeVisible();
  await expect(alerts.getByRole("link", { name: "Open locked" })).toBeHidden();

  const form = await edit(page, "/admin/providers", /^Edit: Locked out/);
  await form.getByRole("textbox", { name: "Replace the keys" }).fill("sk-scripted");
  await save(form);
  await page.goto("/");
  await app.choose("Locked");
  await app.ask("And now?");
  await app.ended("Locked");
  await until(async () => (await api.get("/api/admin/alerts")).items.every((a: { provider: string }) => a.provider !== "locked"), "the alert to go");
});

test("how busy a provider is, and which of its models rest, stands next to it", async ({ page, app }) => {
  await page.goto("/");
  await app.choose("Narrow One");
  await app.ask("Be there.");
  await app.ended("Narrow One");
  await page.goto("/admin/providers");
  const provider = page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "Narrow" }) });
  await expect(provider).toContainText(/0 running of 1 · 0 waiting/);
});

test("a provider's places and waits are set in the editor", async ({ page }) => {
  const api = await Admin.signIn(origin, admin.email, admin.password);
  const form = await edit(page, "/admin/providers", /^Edit: Narrow/);
  await form.getByRole("textbox", { name: "Waiting at most" }).fill("7");
  await form.getByRole("textbox", { name: "Longest wait" }).fill("soon");
  await form.getByRole("button", { name: "Save" }).click();
  await expect(form.getByText(/must be a duration/).first()).toBeVisible();
  await form.getByRole("textbox", { name: "Longest wait" }).fill("12.5s");
  await form.getByRole("textbox", { name: "Whole answer within" }).fill("90s");
  await save(form);
  const { items } = await api.get("/api/admin/providers");
  expect(items.find((p: { id: string }) => p.id === "narrow")).toMatchObject({ max_concurrency: 1, max_waiting: 7, max_wait: "12.5s", timeouts: { whole: "1m30s" } });
});

test("a model's substitutes, retirement and parameters are set and taken back in the editor", async ({ page }) => {
  const api = await Admin.signIn(origin, admin.email, admin.password);
  const model = async () => (await api.get("/api/admin/models")).items.find((m: { id: string }) => m.id === "edited");
  await api.addModel("edited", "scripted", "quick", ["streaming"], { name: "Edited", state: "hidden", parameter_rules: { drop: ["user"] } });

  let form = await edit(page, "/admin/models", /^Edited/);
  for (const id of ["quick", "slow"]) await form.getByRole("combobox", { name: "Add a substitute" }).selectOption(id);
  await form.getByRole("button", { name: "Move Slow up" }).press("Enter");
  await expect(form.getByRole("button", { name: "Move Slow down" })).toBeFocused();
  await form.getByLabel("Retires on").fill("2020-03-31");
  for (const [i, [name, min, max]] of [["temperature", "0", "1"], ["top_p", "0.1", "0.9"]].entries()) {
    await form.getByRole("button", { name: "Add a range" }).click();
    await form.getByRole("textbox", { name: `Parameter of range ${i + 1}` }).fill(name!);
    await form.getByRole("textbox", { name: `Smallest of range ${i + 1}` }).fill(min!);
    await form.getByRole("textbox", { name: `Largest of range ${i + 1}` }).fill(max!);
  }
  await form.getByRole("combobox", { name: "How it takes reasoning effort" }).selectOption("budget");
  await form.getByRole("checkbox", { name: /bills the whole answer/ }).check();
  await save(form);
  expect(await model()).toMatchObject({
    substitutes: ["slow", "quick"],
    retires_on: "2020-03-31",
    parameter_rules: { drop: ["user"], clamp: { temperature: { min: 0, max: 1 }, top_p: { min: 0.1, max: 0.9 } }, reasoning: "budget", cancel_bills: true },
  });
  await expect(page.getByRole("row", { name: /Edited/ })).toContainText("retired on 2020-03-31");

  form = await edit(page, "/admin/models", /^Edited/);
  await form.getByRole("button", { name: "Remove range 1, temperature" }).click();
  await form.getByRole("button", { name: "Remove Slow" }).click();
  await form.getByLabel("Retires on").fill("");
  await save(form);
  const after = await model();
  expect(after.parameter_rules.clamp).toEqual({ top_p: { min: 0.1, max: 0.9 } });
  expect(after.substitutes).toEqual(["quick"]);
  expect(after.retires_on ?? "").toBe("");
});

test("a plan and a person have a cap of a day, and a plan the response cache", async ({ page }) => {
  const api = await Admin.signIn(origin, admin.email, admin.password);
  await api.post("/api/admin/plans", { id: "small", requests_per_minute: 5, models: [] });
  let form = await edit(page, "/admin/plans", /^Edit small/);
  await form.getByRole("textbox", { name: "Credits per day" }).fill("12.5");
  await form.getByRole("switch", { name: "Response cache" }).click();
  await save(form);
  await expect(page.getByRole("row", { name: /small/ })).toContainText("12.5");
  const plan = (await api.get("/api/admin/plans")).items.find((p: { id: string }) => p.id === "small");
  expect(plan).toMatchObject({ credits_per_day_nano_usd: 125_000_000, response_cache: true });

  form = await edit(page, `/admin/users`, new RegExp(`^Manage ${member.email}`));
  await form.getByRole("textbox", { name: "Credits per day" }).fill("5000");
  await form.getByRole("button", { name: "Set" }).click();
  const limits = async () => (await api.get(`/api/admin/users/${await api.userId(member.email)}`)).limits;
  await until(async () => (await limits()).credits_per_day_nano_usd === 50_000_000_000, "the cap to be set");
  expect((await limits()).requests_per_minute).toBe(1000);
  await form.getByRole("textbox", { name: "Credits per day" }).fill("");
  await form.getByRole("button", { name: "Set" }).click();
  await until(async () => (await limits()).credits_per_day_nano_usd === undefined, "the cap to go");
});

test("the admin pages are not for members", async ({ browser, page }) => {
  const stranger = await browser.newContext({ baseURL: origin, storageState: { cookies: [], origins: [] } });
  expect((await stranger.request.get("/api/admin/models")).status()).toBe(401);
  await stranger.close();
  expect((await page.request.get("/api/admin/models")).status()).toBe(200);
});
