// node-llama-cpp (its prebuilt libraries and the source they were built from) in .cache/llama, and programs linked to it.
// Needs Linux on x86-64, g++ and git. Nothing of it is part of the package.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const VERSION = "3.22.1";
const here = dirname(fileURLToPath(import.meta.url));

/** Where everything is kept; a folder of another checkout may be given to save the download. */
export const cache = resolve(process.env.LLAMA_CACHE ?? join(here, "../../.cache/llama"));
export const libraries = join(cache, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
/** llama.cpp as it was built. */
export const source = join(cache, "source");

function run(command, options) {
  execFileSync(command, options, { cwd: cache, stdio: ["ignore", "ignore", "inherit"] });
}

/** Fetches libraries and source on first use. */
export function install() {
  mkdirSync(cache, { recursive: true });
  if (!existsSync(libraries)) {
    writeFileSync(join(cache, "package.json"), '{"private": true}\n');
    run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", `node-llama-cpp@${VERSION}`]);
  }
  if (!existsSync(source)) run("git", ["clone", "-q", "node_modules/node-llama-cpp/llama/gitRelease.bundle", "source"]);
}

/** Builds `NAME.cpp` of this folder against the libraries; gives the program's path. */
export function build(name) {
  const names = readdirSync(libraries);
  const linked = ["libllama.", "libggml.", "libggml-base."].map((start) =>
    join(
      libraries,
      names.find((file) => file.startsWith(start)),
    ),
  );
  const includes = [`-I${join(source, "include")}`, `-I${join(source, "ggml/include")}`];
  const program = join(cache, name);
  const options = ["-O2", "-std=c++17", join(here, `${name}.cpp`), ...includes, ...linked];
  run("g++", [...options, `-Wl,-rpath,${libraries}`, "-o", program]);
  return program;
}
