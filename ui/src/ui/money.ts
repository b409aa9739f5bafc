// Money is a whole number of nano-dollars. Everything here works on digits, never on fractions
// in floating point.

const NANO = 1_000_000_000n;
const CREDIT = 10_000_000n;

function toBig(nano: number | bigint): bigint {
  return typeof nano === "bigint" ? nano : BigInt(Math.trunc(nano));
}

function group(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** Divides exactly and writes the decimals that are there, without trailing zeros. */
function decimal(value: bigint, unit: bigint, places: number, minPlaces = 0): string {
  const sign = value < 0n ? "-" : "";
  const abs = value < 0n ? -value : value;
  let fraction = (abs % unit).toString().padStart(places, "0");
  while (fraction.length > minPlaces && fraction.endsWith("0")) fraction = fraction.slice(0, -1);
  return sign + (abs / unit).toString() + (fraction ? "." + fraction : "");
}

/** 37500000 -> "0.0375": US dollars, exact. */
export function nanoToDollars(nano: number | bigint): string {
  return decimal(toBig(nano), NANO, 9);
}

/** "0.0375" -> 37500000; undefined when it is not a plain decimal of at most nine places. */
export function dollarsToNano(text: string): number | undefined {
  const match = /^\s*\$?\s*(\d{1,7})?(?:[.,](\d{0,9}))?\s*$/.exec(text);
  if (!match || (match[1] === undefined && !match[2])) return undefined;
  const nano = BigInt(match[1] ?? "0") * NANO + BigInt((match[2] ?? "").padEnd(9, "0"));
  return nano <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(nano) : undefined;
}

/** 37500000 -> "3.75": credits, exact, as one types them. */
export function nanoToCredits(nano: number | bigint): string {
  return decimal(toBig(nano), CREDIT, 7);
}

/** "3.75" -> 37500000; undefined when it is not a plain decimal of at most seven places. */
export function creditsToNano(text: string): number | undefined {
  const match = /^\s*(\d{1,8})?(?:[.,](\d{0,7}))?\s*$/.exec(text);
  if (!match || (match[1] === undefined && !match[2])) return undefined;
  const nano = BigInt(match[1] ?? "0") * CREDIT + BigInt((match[2] ?? "").padEnd(7, "0"));
  return nano <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(nano) : undefined;
}

/** Rounds half away from zero to `places` decimals of `unit`. */
function rounded(value: bigint, unit: bigint, places: number): string {
  const sign = value < 0n ? "-" : "";
  const abs = value < 0n ? -value : value;
  const scale = 10n ** BigInt(places);
  const scaled = (abs * scale + unit / 2n) / unit;
  let whole = group((scaled / scale).toString());
  if (places > 0) {
    let fraction = (scaled % scale).toString().padStart(places, "0");
    while (fraction.endsWith("0")) fraction = fraction.slice(0, -1);
    if (fraction) whole += "." + fraction;
  }
  return scaled === 0n ? whole : sign + whole;
}

/** Credits for people: as many decimals as the size needs; a real cost never reads as zero. */
export function credits(nano: number | bigint): string {
  const value = toBig(nano);
  const abs = value < 0n ? -value : value;
  if (abs === 0n) return "0";
  if (abs >= 100n * CREDIT) return rounded(value, CREDIT, 1);
  if (abs >= CREDIT) return rounded(value, CREDIT, 2);
  if (abs >= CREDIT / 1000n) return rounded(value, CREDIT, 3);
  return value < 0n ? "> -0.001" : "< 0.001";
}

/** Credits in full, for receipts and tables. */
export function exactCredits(nano: number | bigint): string {
  const text = decimal(toBig(nano), CREDIT, 7);
  const [whole = "0", fraction] = text.split(".");
  const sign = whole.startsWith("-") ? "-" : "";
  return sign + group(whole.replace("-", "")) + (fraction ? "." + fraction : "");
}

/** US dollars for people, at least cents. */
export function dollars(nano: number | bigint): string {
  const value = toBig(nano);
  const [whole = "0", fraction = ""] = decimal(value < 0n ? -value : value, NANO, 9, 2).split(".");
  return (value < 0n ? "-$" : "$") + group(whole) + "." + fraction;
}

/** US dollars to the cent, for sums; a real amount never reads as zero. */
export function cents(nano: number | bigint): string {
  const value = toBig(nano);
  const abs = value < 0n ? -value : value;
  const sign = value < 0n ? "-" : "";
  if (abs > 0n && abs < NANO / 200n) return value < 0n ? "> -$0.01" : "< $0.01";
  const whole = (abs + NANO / 200n) / (NANO / 100n);
  return `${sign}$${group((whole / 100n).toString())}.${(whole % 100n).toString().padStart(2, "0")}`;
}

export function range(min: number, max: number): string {
  const low = credits(min);
  const high = credits(max);
  return low === high ? high : `${low} – ${high}`;
}
