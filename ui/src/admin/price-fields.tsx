import type { PriceKey, Prices } from "../api/types";
import { TextField } from "../ui/field";
import { dollarsToNano, nanoToDollars } from "../ui/money";

export const priceNames: [PriceKey, string][] = [
  ["input_nano_usd", "Input"],
  ["cached_input_nano_usd", "Cached input"],
  ["cache_write_nano_usd", "Cache write"],
  ["output_nano_usd", "Output"],
  ["reasoning_nano_usd", "Reasoning"],
  ["per_request_nano_usd", "Per request"],
  ["per_image_nano_usd", "Per image"],
];

export type PriceTexts = Partial<Record<PriceKey, string>>;

export function textsOf(prices: Prices | undefined): PriceTexts {
  const texts: PriceTexts = {};
  for (const [key] of priceNames) {
    const value = prices?.[key];
    if (value !== undefined && (value !== 0 || key === "input_nano_usd" || key === "output_nano_usd")) texts[key] = nanoToDollars(value);
  }
  return texts;
}

/** The prices in nano-dollars, or undefined when one of them cannot be read. */
export function pricesOf(texts: PriceTexts): Prices | undefined {
  const prices: Prices = {};
  for (const [key] of priceNames) {
    const text = texts[key]?.trim();
    if (!text) {
      // A partial change leaves what it does not name, so a cleared price is sent as zero.
      if (key !== "input_nano_usd" && key !== "output_nano_usd") prices[key] = 0;
      continue;
    }
    const nano = dollarsToNano(text);
    if (nano === undefined) return undefined;
    prices[key] = nano;
  }
  if (prices.input_nano_usd === undefined || prices.output_nano_usd === undefined) return undefined;
  return prices;
}

export const samePrices = (a: Prices | undefined, b: Prices | undefined) => priceNames.every(([key]) => (a?.[key] ?? 0) === (b?.[key] ?? 0));

export function PriceFields({ texts, onChange }: { texts: PriceTexts; onChange: (texts: PriceTexts) => void }) {
  return (
    <fieldset>
      <legend className="text-sm font-semibold">Prices</legend>
      <p className="mb-3 text-[13px] text-muted">US dollars per million tokens, as the provider charges them. The markup comes on top.</p>
      <div className="grid grid-cols-2 gap-3 sm:grid-cols-3">
        {priceNames.map(([key, name]) => {
          const text = texts[key] ?? "";
          return (
            <TextField
              key={key}
              label={key.startsWith("per_") ? `${name} ($)` : name}
              inputMode="decimal"
              autoComplete="off"
              value={text}
              placeholder={key === "input_nano_usd" || key === "output_nano_usd" ? "0.00" : "none"}
              error={text.trim() && dollarsToNano(text) === undefined ? "Not a price" : undefined}
              onChange={(e) => onChange({ ...texts, [key]: e.target.value })}
            />
          );
        })}
      </div>
    </fieldset>
  );
}
