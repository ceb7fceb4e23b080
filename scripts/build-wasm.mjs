// Compiles the AssemblyScript kernels (src/**/*.as.ts, and generators src/**/*.gen.mjs) at two feature levels and embeds
// them with the worker script in src/backends/wasm/generated/kernels.ts; the bare files go to dist/wasm/.
// Files named *.o1.as.ts are compiled at -O1 into a second module: V8 keeps the order of their instructions.
// Skipped when nothing has changed since the last build.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import asc from "assemblyscript/asc";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const work = join(root, ".cache/wasm");
const target = join(root, "src/backends/wasm/generated/kernels.ts");
const worker = join(root, "src/backends/wasm/worker.js");
const levels = { plain: [], relaxed: ["--enable", "relaxed-simd"] };
const groups = { main: "-O3", o1: "-O1" };
const kernelPattern = /export function (\w+)\(\s*args: usize,\s*thread: i32,\s*threads: i32,?\s*\): void/g;

/** Sources by path relative to src, generators already run. */
async function readSources() {
  const sources = new Map();
  const names = readdirSync(join(root, "src"), { recursive: true }).map(String).sort();
  for (const name of names) {
    const path = join(root, "src", name);
    if (name.endsWith(".as.ts")) sources.set(name, readFileSync(path, "utf8"));
    if (name.endsWith(".gen.mjs")) {
      const { generate } = await import(pathToFileURL(path));
      sources.set(name.replace(/\.mjs$/, ".as.ts"), generate());
    }
  }
  return sources;
}

function groupOf(name) {
  return name.endsWith(".o1.as.ts") || name.endsWith(".o1.gen.as.ts") ? "o1" : "main";
}

/** Kernels by group: what the command list can call. */
function findKernels(sources) {
  const kernels = { main: new Map(), o1: new Map() };
  for (const [name, text] of sources) {
    for (const [, kernel] of text.matchAll(kernelPattern)) kernels[groupOf(name)].set(kernel, name);
  }
  return kernels;
}

function entryText(group, kernels) {
  const byFile = new Map();
  for (const [kernel, file] of kernels) byFile.set(file, [...(byFile.get(file) ?? []), kernel]);
  const lines = [...byFile].map(
    ([file, names]) => `export { ${names.join(", ")} } from "./${file.replace(/\.ts$/, "")}";`,
  );
  if (group === "main") lines.push('export { run } from "./backends/wasm/assembly/run.as";');
  return `${lines.join("\n")}\n`;
}

async function compile(entry, output, optimisation, flags) {
  const { error, stderr } = await asc.main([
    relative(root, entry),
    ...["--baseDir", root, "-o", relative(root, output), optimisation, "--noAssert", "--runtime", "stub"],
    ...["--importMemory", "--sharedMemory", "--initialMemory", "16", "--maximumMemory", "65536", "--importTable"],
    ...["--memoryBase", "8192", "--enable", "simd", "--enable", "threads", ...flags],
  ]);
  if (error) throw new Error(`build-wasm: ${entry} does not compile\n${stderr}`);
}

/** An edited source with the same bytes gives the same digest. */
function digestOf(sources) {
  const hash = createHash("sha256")
    .update(readFileSync(fileURLToPath(import.meta.url)))
    .update(readFileSync(worker));
  for (const [name, text] of sources) hash.update(name).update(text);
  return hash.digest("hex");
}

function replaceFile(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.tmp${process.pid}`, content);
  renameSync(`${path}.tmp${process.pid}`, path);
}

async function build(sources, digest) {
  const kernels = findKernels(sources);
  const own = `${work}-${process.pid}`;
  rmSync(own, { recursive: true, force: true });
  for (const [name, text] of sources) {
    mkdirSync(dirname(join(own, name)), { recursive: true });
    writeFileSync(join(own, name), text);
  }
  const modules = { plain: [], relaxed: [] };
  for (const [group, optimisation] of Object.entries(groups)) {
    if (kernels[group].size === 0 && group !== "main") continue;
    const entry = join(own, `${group}.ts`);
    writeFileSync(entry, entryText(group, kernels[group]));
    for (const [level, flags] of Object.entries(levels)) {
      const output = join(own, `${group}-${level}.wasm`);
      await compile(entry, output, optimisation, flags);
      modules[level].push(readFileSync(output));
    }
  }
  const names = Object.values(kernels).flatMap((group) => [...group.keys()]);
  replaceFile(target, generatedText(digest, names, modules));
  const suffix = { plain: "", relaxed: "-relaxed" };
  for (const [level, files] of Object.entries(modules)) {
    files.forEach((bytes, i) => {
      replaceFile(join(root, `dist/wasm/kernels${suffix[level]}${i === 0 ? "" : `-${i}`}.wasm`), bytes);
    });
  }
  replaceFile(join(root, "dist/wasm/worker.js"), readFileSync(worker));
  rmSync(own, { recursive: true, force: true });
  return { kernels: names.length, bytes: modules.plain.reduce((sum, { length }) => sum + length, 0) };
}

function generatedText(digest, names, modules) {
  const base64 = (files) => JSON.stringify(files.map((bytes) => bytes.toString("base64")));
  return `// made by scripts/build-wasm.mjs from ${digest}
/** Kernels in the order of the function table. */
export const kernelNames: readonly string[] = ${JSON.stringify(names)};
/** Base64 of the modules for SIMD128. */
export const plainModules: readonly string[] = ${base64(modules.plain)};
/** Base64 of the modules for relaxed SIMD. */
export const relaxedModules: readonly string[] = ${base64(modules.relaxed)};
/** Source of the worker script. */
export const workerSource: string = ${JSON.stringify(readFileSync(worker, "utf8"))};
`;
}

const started = performance.now();
const sources = await readSources();
const digest = digestOf(sources);
const known = existsSync(target) ? readFileSync(target, "utf8").slice(0, 200) : "";
if (known.includes(digest) && existsSync(join(root, "dist/wasm/worker.js"))) {
  console.log("build-wasm: unchanged");
} else {
  const { kernels, bytes } = await build(sources, digest);
  console.log(`build-wasm: ${kernels} kernels, ${bytes} bytes, ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
