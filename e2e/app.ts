// The page as a person who cannot see it meets it: roles and names only. A test
// never looks for anything in another way.
import { expect, type Locator, type Page } from "@playwright/test";

export class App {
  readonly page: Page;
  readonly prompt: Locator;
  readonly models: Locator;
  readonly stopButton: Locator;

  constructor(page: Page) {
    this.page = page;
    this.prompt = page.getByRole("textbox", { name: "Your question" });
    this.models = page.getByRole("button", { name: /^(choose )?models$/i });
    this.stopButton = page.getByRole("button", { name: "Stop all" });
  }

  async signIn(email: string, password: string): Promise<void> {
    await this.page.getByLabel(/e-?mail/i).fill(email);
    await this.page.getByLabel(/^password/i).fill(password);
    await this.page.getByRole("button", { name: /^(sign in|log in)$/i }).click();
  }

  /** Moves the focus with the Tab key, and nothing else, until `target` has it. */
  async tabTo(target: Locator): Promise<void> {
    for (let i = 0; i < 200; i++) {
      if (await this.hasFocus(target)) return;
      await this.page.keyboard.press("Tab");
    }
    throw new Error(`the Tab key does not lead to ${target}`);
  }

  private hasFocus(target: Locator): Promise<boolean> {
    return target.evaluateAll((elements) => elements.some((e) => e === document.activeElement));
  }

  /** Chooses exactly these models, by name, with the keyboard. */
  async choose(...names: string[]): Promise<void> {
    await expect(this.models).toBeVisible();
    const chips = this.page.getByRole("button", { name: /^Remove / });
    const chosen = (await chips.evaluateAll((all) => all.map((e) => e.getAttribute("aria-label") ?? ""))).map((label) => label.replace("Remove ", ""));
    for (const name of chosen) {
      if (names.some((wanted) => name.startsWith(wanted))) continue;
      await this.tabTo(this.page.getByRole("button", { name: `Remove ${name}`, exact: true }));
      await this.page.keyboard.press("Enter");
    }
    await this.tabTo(this.models);
    await this.page.keyboard.press("Enter");
    const picker = this.page.getByRole("dialog", { name: "Choose models" });
    const search = picker.getByRole("searchbox");
    for (const name of names.filter((wanted) => !chosen.some((name) => name.startsWith(wanted)))) {
      await this.tabTo(search);
      await search.press("ControlOrMeta+a");
      await this.page.keyboard.type(name);
      const row = picker.getByRole("checkbox", { name: new RegExp(`^${name}`, "i") }).first();
      await this.tabTo(row);
      if (!(await row.isChecked())) await this.page.keyboard.press("Space");
      await expect(row).toBeChecked();
    }
    await this.page.keyboard.press("Escape");
    await expect(picker).toBeHidden();
  }

  /** Types a prompt where the focus can get by keyboard, and sends it. */
  async ask(prompt: string): Promise<void> {
    await this.tabTo(this.prompt);
    await this.page.keyboard.type(prompt);
    await this.page.keyboard.press("Enter");
  }

  /** The column of one model's answer. */
  answer(model: string): Locator {
    return this.page.getByRole("region", { name: new RegExp(`\\b${model}\\b`, "i") }).last();
  }

  /** Waits until the column says how the answer ended. */
  async ended(model: string, how: "finished" | "stopped" | "failed" = "finished"): Promise<Locator> {
    const column = this.page.getByRole("region", { name: new RegExp(`\\b${model}\\b.*${how}`, "i") }).last();
    await expect(column).toBeVisible({ timeout: 40_000 });
    return column;
  }

  /** Opens the receipt of a model's last answer with the keyboard. */
  async openReceipt(model: string): Promise<Locator> {
    await this.tabTo(this.page.getByRole("button", { name: new RegExp(`^Receipt of ${model}`) }).last());
    await this.page.keyboard.press("Enter");
    const receipt = this.page.getByRole("dialog", { name: "Receipt" });
    await expect(receipt.getByRole("button", { name: "Copy JSON" })).toBeVisible();
    return receipt;
  }

  /** What screen readers were told last, politely. */
  told(text: RegExp): Locator {
    return this.page.getByRole("status").filter({ hasText: text });
  }

  /** Waits until the page shows what it loaded instead of where it will be. */
  async settled(): Promise<void> {
    await expect(this.page.getByRole("main").or(this.page.getByRole("form")).first()).toBeVisible();
    await expect(this.page.getByRole("status", { name: /loading/i })).toHaveCount(0);
  }
}
