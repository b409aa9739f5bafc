import type { Page } from "@playwright/test";
import { until } from "../admin.mjs";
import { upstream } from "../settings.ts";
import { expect, test } from "../test.ts";
import { textOf } from "../upstream.mjs";

interface Answer {
  model: string;
  state: string;
  text: string;
  charge_nano_usd: number;
}

/** The answers of the newest run, as the API has them. */
async function answers(page: Page): Promise<Answer[]> {
  const { items } = await (await page.request.get("/api/conversations")).json();
  const { runs } = await (await page.request.get(`/api/conversations/${items[0].id}`)).json();
  return runs.at(-1).answers;
}

async function credits(page: Page): Promise<{ balance_nano_usd: number; held_nano_usd: number }> {
  return (await page.request.get("/api/credits")).json();
}

const calls = async () => (await fetch(`${upstream}/calls`)).json();

test.beforeEach(async ({ page, app }) => {
  await page.goto("/");
  await expect(app.prompt).toBeVisible();
});

test("one model answers, by keyboard alone", async ({ page, app }) => {
  await app.choose("Demo");
  await app.ask("What are you?");
  await app.ended("Demo");
  const [answer] = await answers(page);
  expect(answer).toMatchObject({ model: "demo", state: "finished" });
  expect(answer.text.length).toBeGreaterThan(0);
  expect(page.url()).toContain("/c/");
});

test("two models answer side by side, by keyboard alone", async ({ page, app }) => {
  await app.choose("Demo", "Steady");
  await app.ask("Answer together.");
  const columns = [await app.ended("Demo"), await app.ended("Steady")];
  const [left, right] = await Promise.all(columns.map((column) => column.boundingBox()));
  expect(Math.abs(left!.y - right!.y)).toBeLessThan(5);
  expect(left!.x).not.toBe(right!.x);
  await expect(columns[1]).toContainText(textOf("steady"));
  expect((await answers(page)).map((answer) => answer.state)).toEqual(["finished", "finished"]);
});

test("a reload in mid-stream goes on: nothing missing, nothing twice", async ({ page, app }) => {
  await app.choose("Steady");
  await app.ask("Keep going.");
  await expect(app.answer("Steady")).toContainText("steady-5");
  await page.reload();
  const column = await app.ended("Steady");
  await expect(column).toContainText(textOf("steady"));
  expect((await column.innerText()).match(/steady-\d+/g)).toHaveLength(40);
  expect((await answers(page))[0].text).toBe(textOf("steady"));
});

test("a closed tab does not end the run", async ({ page, app }) => {
  await app.choose("Steady");
  await app.ask("I am leaving.");
  await expect(app.answer("Steady")).toContainText("steady-3");
  await page.goto("about:blank");
  const [answer] = await until(async () => {
    const list = await answers(page);
    return list[0].state === "finished" && list;
  }, "the answer to finish");
  expect(answer.text).toBe(textOf("steady"));
});

test("Stop ends the provider's call within a second and gives the rest back", async ({ page, app }) => {
  await app.choose("Slow");
  const before = await calls();
  await app.ask("Take your time.");
  await expect(app.answer("Slow")).toContainText("slow-10");
  await app.tabTo(app.stopButton);
  await page.keyboard.press("Enter");
  await until(async () => (await calls()).aborted === before.aborted + 1, "the provider's connection to close", 1000);
  await app.ended("Slow", "stopped");
  const [answer] = await answers(page);
  expect(answer.state).toBe("stopped");
  expect(answer.charge_nano_usd).toBeGreaterThan(0);
  expect(answer.text).toMatch(/^slow-1 .*slow-\d+ ?$/);
  expect((await credits(page)).held_nano_usd).toBe(0);
});

test("a failure shows a card that says what happened, and costs nothing", async ({ page, app }) => {
  await app.choose("Broken", "Steady");
  const before = await credits(page);
  await app.ask("One of you will fail.");
  const card = await app.ended("Broken", "failed");
  await expect(card).toContainText(/Broken .*(try again|another model)/i);
  await expect(card.getByRole("button", { name: /retry|try again/i })).toBeEnabled();
  await app.ended("Steady");
  const [broken, steady] = await answers(page);
  expect(broken).toMatchObject({ state: "failed", charge_nano_usd: 0 });
  expect((await credits(page)).balance_nano_usd).toBe(before.balance_nano_usd - steady.charge_nano_usd);
});
