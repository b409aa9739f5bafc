import { describe, expect, it } from "vitest";
import { cents, credits, creditsToNano, dollars, dollarsToNano, exactCredits, nanoToCredits, nanoToDollars, range } from "./money";

describe("prices in dollars", () => {
  it("reads decimals exactly", () => {
    expect(dollarsToNano("0.0375")).toBe(37_500_000);
    expect(dollarsToNano("2.5")).toBe(2_500_000_000);
    expect(dollarsToNano(" $15 ")).toBe(15_000_000_000);
    expect(dollarsToNano("0,6")).toBe(600_000_000);
    expect(dollarsToNano(".5")).toBe(500_000_000);
    expect(dollarsToNano("0.000000001")).toBe(1);
    expect(dollarsToNano("0")).toBe(0);
  });
  it("refuses what is not a price", () => {
    for (const text of ["", "-1", "1e3", "abc", "1.0000000001", ".", "1,000.5", "99999999"]) expect(dollarsToNano(text)).toBeUndefined();
  });
  it("goes there and back without loss", () => {
    for (const nano of [0, 1, 10, 37_500_000, 999_999_999, 1_000_000_000, 1_234_567_890, 75_000_000_000_001]) {
      expect(dollarsToNano(nanoToDollars(nano))).toBe(nano);
    }
    expect(nanoToDollars(37_500_000)).toBe("0.0375");
    expect(nanoToDollars(-37_500_000)).toBe("-0.0375");
  });
});

describe("credits", () => {
  it("fits the decimals to the size", () => {
    expect(credits(0)).toBe("0");
    expect(credits(10_000_000)).toBe("1");
    expect(credits(12_345_678)).toBe("1.23");
    expect(credits(1_234_567)).toBe("0.123");
    expect(credits(12_345_678_900)).toBe("1,234.6");
    expect(credits(-25_000_000)).toBe("-2.5");
  });
  it("never shows a real cost as zero", () => expect(credits(1)).toBe("< 0.001"));
  it("shows every digit where it counts", () => {
    expect(exactCredits(1)).toBe("0.0000001");
    expect(exactCredits(-12_345_670_000_000)).toBe("-1,234,567");
  });
  it("writes ranges and dollars", () => {
    expect(range(10_000_000, 10_000_000)).toBe("1");
    expect(range(1_000_000, 20_000_000)).toBe("0.1 – 2");
    expect(dollars(1_234_500_000_000)).toBe("$1,234.50");
    expect(dollars(-500_000_000)).toBe("-$0.50");
    expect(cents(1_234_565_000_000)).toBe("$1,234.57");
    expect(cents(-4_999_999)).toBe("> -$0.01");
    expect(cents(0)).toBe("$0.00");
  });
});

describe("credits as they are typed", () => {
  it("reads decimals exactly", () => {
    expect(creditsToNano("500")).toBe(5_000_000_000);
    expect(creditsToNano("3.75")).toBe(37_500_000);
    expect(creditsToNano(" 0,5 ")).toBe(5_000_000);
    expect(creditsToNano(".0000001")).toBe(1);
    expect(creditsToNano("0")).toBe(0);
    expect(creditsToNano("99999999.9999999")).toBe(999_999_999_999_999);
  });
  it("refuses what is not a number of credits", () => {
    for (const text of ["", " ", "-1", "1e3", "five", "0.00000001", ".", "1,000.5", "999999999", "$5"]) expect(creditsToNano(text)).toBeUndefined();
  });
  it("goes there and back without loss", () => {
    for (const nano of [0, 1, 9_999_999, 10_000_000, 37_500_000, 12_345_678_900, 999_999_999_999_999]) expect(creditsToNano(nanoToCredits(nano))).toBe(nano);
    expect(nanoToCredits(5_000_000_000)).toBe("500");
  });
});
