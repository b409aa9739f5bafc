// Prepares the server once: a provider that does the same every time, a member
// with credits, limits that the tests do not run into, and who is signed in.
import { Admin } from "../admin.mjs";
import { admin, member, origin, upstream } from "../settings.ts";
import { expect, test as setup } from "../test.ts";

setup("the server is prepared", async () => {
  const api = await Admin.signIn(origin, admin.email, admin.password);
  await api.addScripted(upstream);
  await api.addTroubled(upstream);
  await api.post("/api/admin/users", { email: member.email, password: member.password, name: "Member", role: "user" });
  for (const { email } of [admin, member]) {
    await api.limit(email, { requests_per_minute: 1000, requests_per_minute_per_provider: 1000 });
    await api.grant(email, 10_000);
  }
});

for (const person of [admin, member]) {
  setup(`${person.email} signs in`, async ({ page, app }) => {
    await page.goto("/");
    await app.signIn(person.email, person.password);
    await expect(app.prompt).toBeVisible();
    await page.context().storageState({ path: person.state });
  });
}
