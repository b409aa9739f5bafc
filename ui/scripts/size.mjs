// Measures the script that the chat page loads (entry and chat chunks with everything they
// import), brotli quality 11, and fails when it is over the budget.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const budget = 210 * 1000;
const dist = join(import.meta.dirname, "../../internal/web/dist");
const manifest = JSON.parse(readFileSync(join(dist, ".vite/manifest.json"), "utf8"));

const seen = new Set();
function visit(key) {
  if (seen.has(key)) return;
  seen.add(key);
  for (const next of manifest[key].imports ?? []) visit(next);
}
visit("index.html");
visit("src/chat/chat-page.tsx");

let total = 0;
const rows = [...seen]
  .map((key) => manifest[key].file)
  .filter((file) => file.endsWith(".js"))
  .map((file) => ({ file, size: statSync(join(dist, `${file}.br`)).size }))
  .sort((a, b) => b.size - a.size);
for (const { file, size } of rows) {
  total += size;
  console.log(`${(size / 1000).toFixed(1).padStart(8)} kB  ${file}`);
}
console.log(`${(total / 1000).toFixed(1).padStart(8)} kB  chat page in all, budget ${budget / 1000} kB`);
if (total > budget) {
  console.error("Over budget: move something into a lazy chunk.");
  process.exit(1);
}
