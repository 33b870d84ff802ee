// Builds the three files of the page: node build.mjs [DIRECTORY]. Without a directory: chest/dashboard/static, which is committed.
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const to = process.argv[2] ?? join(here, "..", "chest", "dashboard", "static");

await mkdir(to, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.ts" },
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  outdir: to,
  logLevel: "warning",
});
await build({
  absWorkingDir: here,
  entryPoints: { page: "src/page.css" },
  bundle: true,
  minify: true,
  outdir: to,
  logLevel: "warning",
});
await copyFile(join(here, "src", "index.html"), join(to, "index.html"));
