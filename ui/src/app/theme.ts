import { create } from "zustand";

export type Theme = "system" | "light" | "dark";

function stored(): Theme {
  try {
    const value = localStorage.getItem("om.theme");
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

const system = matchMedia("(prefers-color-scheme: dark)");

function apply(theme: Theme) {
  const dark = theme === "dark" || (theme === "system" && system.matches);
  document.documentElement.classList.toggle("dark", dark);
  document.querySelector('meta[name="theme-color"]')?.setAttribute("content", dark ? "#131518" : "#f7f6f3");
}

export const useTheme = create<{ theme: Theme }>(() => ({ theme: stored() }));

export function setTheme(theme: Theme) {
  useTheme.setState({ theme });
  try {
    if (theme === "system") localStorage.removeItem("om.theme");
    else localStorage.setItem("om.theme", theme);
  } catch {
    // Then it lasts until the page goes away.
  }
  apply(theme);
}

export function toggleTheme() {
  setTheme(document.documentElement.classList.contains("dark") ? "light" : "dark");
}

system.addEventListener("change", () => apply(useTheme.getState().theme));
