import { member } from "../settings.ts";
import { expect, test } from "../test.ts";

test.use({ storageState: { cookies: [], origins: [] } });

test("a wrong password is refused in words, and nothing else is told", async ({ page, app }) => {
  await page.goto("/login");
  await app.signIn(member.email, "not the password");
  await expect(page.getByRole("alert")).toContainText("The e-mail address or the password is wrong.");
  await expect(app.prompt).toBeHidden();
});

test("a page behind the sign-in comes back after it", async ({ page, app }) => {
  await page.goto("/");
  await app.signIn(member.email, member.password);
  await expect(app.prompt).toBeVisible();
  await page.reload();
  await expect(app.prompt).toBeVisible();
});

test("signing in works with the keyboard alone", async ({ page, app }) => {
  await page.goto("/login");
  await app.tabTo(page.getByLabel(/e-?mail/i));
  await page.keyboard.type(member.email);
  await app.tabTo(page.getByLabel(/^password/i));
  await page.keyboard.type(member.password);
  await page.keyboard.press("Enter");
  await expect(app.prompt).toBeVisible();
});
