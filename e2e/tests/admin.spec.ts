import { Admin, prices } from "../admin.mjs";
import { admin, origin } from "../settings.ts";
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

test("the admin pages are not for members", async ({ browser, page }) => {
  const stranger = await browser.newContext({ baseURL: origin, storageState: { cookies: [], origins: [] } });
  expect((await stranger.request.get("/api/admin/models")).status()).toBe(401);
  await stranger.close();
  expect((await page.request.get("/api/admin/models")).status()).toBe(200);
});
