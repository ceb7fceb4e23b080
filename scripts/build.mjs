// Compiles src/ to dist/ with declarations, removes what older builds left and makes the command line executable.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json")], { stdio: "inherit", cwd: root });

// outputs of sources that are gone; dist/wasm belongs to build-wasm.mjs
for (const name of readdirSync(join(root, "dist"), { recursive: true }).map(String)) {
  const source = name.replace(/(?:\.d\.ts|\.js|\.js\.map)$/, ".ts");
  if (source === name || /^wasm\b/.test(name) || existsSync(join(root, "src", source))) continue;
  rmSync(join(root, "dist", name));
}

chmodSync(join(root, "dist/cli/main.js"), 0o755);

// for `wasm: { module }` where memory may not be shared; modules from bytes or a URL are changed when they are loaded
const { withUnsharedMemory } = await import(pathToFileURL(join(root, "dist/backends/wasm/module.js")).href);
const kernels = new Uint8Array(readFileSync(join(root, "dist/wasm/kernels.wasm")));
writeFileSync(join(root, "dist/wasm/kernels-unshared.wasm"), withUnsharedMemory(kernels));
