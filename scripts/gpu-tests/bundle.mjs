// Makes a folder of the GPU tests that runs with Node and the package webgpu alone, for machines with a card but no package registry.
//   node scripts/gpu-tests/bundle.mjs FOLDER      then there: node FOLDER/scripts/gpu-tests/run.mjs [--out FILE]
import { cpSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const [folder] = process.argv.slice(2);
if (!folder) throw new Error("bundle: name a folder");
const root = fileURLToPath(new URL("../..", import.meta.url));
const testsOf = (place) =>
  readdirSync(join(root, place), { recursive: true })
    .map((name) => `${place}/${name}`)
    .filter((name) => name.endsWith(".test.ts"));
const tests = [...testsOf("src/ops"), ...testsOf("src/backends/webgpu"), "test/training-curve.test.ts"].sort();
const entries = [...tests, "scripts/gpu-tests/run.mjs"];
rmSync(folder, { recursive: true, force: true });
await build({
  configFile: false,
  root,
  logLevel: "warn",
  resolve: {
    alias: {
      "#platform": join(root, "src/platform/node.ts"),
      vitest: join(root, "scripts/gpu-tests/vitest.mjs"),
    },
  },
  ssr: { noExternal: true, external: ["webgpu", "@sparticuz/chromium"] },
  build: {
    ssr: true,
    outDir: resolve(folder),
    emptyOutDir: false,
    minify: false,
    target: "node20",
    rollupOptions: {
      input: Object.fromEntries(entries.map((name) => [name.replace(/\.(?:ts|mjs)$/, ""), join(root, name)])),
      output: { entryFileNames: "[name].mjs", chunkFileNames: "chunks/[hash].mjs" },
    },
  },
});
// places relative to the files stay what they are
for (const data of ["test/fixtures/selective-scan", "test/fixtures/training-curve"]) {
  cpSync(join(root, data), join(folder, data), { recursive: true });
}
const names = tests.map((name) => `../../${name.replace(/\.ts$/, ".mjs")}`);
writeFileSync(join(folder, "scripts/gpu-tests/files.json"), JSON.stringify(names));
