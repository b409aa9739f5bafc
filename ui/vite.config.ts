import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const out = resolve(import.meta.dirname, "../internal/web/dist");
const brotli = promisify(brotliCompress);
const gz = promisify(gzip);

/** Empties the output folder but keeps the tracked .gitkeep. */
async function clean() {
  await mkdir(out, { recursive: true });
  for (const name of await readdir(out)) {
    if (name !== ".gitkeep") await rm(join(out, name), { recursive: true, force: true });
  }
}

/** Gives the theme script a content hash, then writes .br and .gz beside every text asset. */
function finish(): Plugin {
  return {
    name: "onemind-finish",
    apply: "build",
    buildStart: clean,
    async closeBundle() {
      const theme = await readFile(join(out, "theme.js"));
      const name = `assets/theme-${createHash("sha256").update(theme).digest("hex").slice(0, 8)}.js`;
      await rename(join(out, "theme.js"), join(out, name));
      const index = join(out, "index.html");
      await writeFile(index, (await readFile(index, "utf8")).replace("/theme.js", `/${name}`));
      const files = [index, ...(await readdir(join(out, "assets"))).map((f) => join(out, "assets", f))];
      await Promise.all(
        files
          .filter((f) => /\.(js|css|html|svg|json)$/.test(f))
          .map(async (f) => {
            const data = await readFile(f);
            const [b, g] = await Promise.all([
              brotli(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: data.length } }),
              gz(data, { level: 9 }),
            ]);
            await Promise.all([writeFile(`${f}.br`, b), writeFile(`${f}.gz`, g)]);
          }),
      );
    },
  };
}

export default defineConfig({
  plugins: [react(), tailwindcss(), finish()],
  build: {
    outDir: out,
    emptyOutDir: false,
    assetsInlineLimit: 0,
    manifest: ".vite/manifest.json",
    target: "es2022",
    modulePreload: { polyfill: false },
  },
  server: {
    port: 5173,
    proxy: { "/api": { target: "http://localhost:8080", ws: true }, "/v1": "http://localhost:8080" },
  },
});
