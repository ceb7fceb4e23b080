import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Computed, expectComputed, makeUserProject, root, type UserProject } from "./user-project.ts";

let project: UserProject;

beforeAll(() => {
  project = makeUserProject();
});

afterAll(() => project?.remove());

/** Runs a program in the user's project and parses the last line that it prints; it must say nothing on stderr. */
async function run(command: string, ...argv: string[]): Promise<unknown> {
  const env = { PATH: process.env["PATH"], HOME: project.folder, NO_COLOR: "1" };
  const { stdout, stderr } = await promisify(execFile)(command, argv, { cwd: project.folder, env, timeout: 30_000 });
  expect(stderr).toBe("");
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
}

/** The first of these executables that is installed. */
const installed = (...paths: string[]): string | undefined => {
  const folder = join(root, "node_modules");
  return paths.map((path) => join(folder, path)).find((path) => existsSync(path));
};

const platform = `${process.platform}-${process.arch}`;
const deno = installed(`@deno/${platform}-glibc/deno`, `@deno/${platform}/deno`, `@deno/${platform}/deno.exe`);
const bun = installed(`@oven/bun-${platform}/bin/bun`, "bun/bin/bun.exe");

/** Every entry that a program imports. */
const entries = Object.keys(
  (createRequire(import.meta.url)("../../package.json") as { exports: Record<string, unknown> }).exports,
).filter((entry) => !/\.(json|wasm|js)$/.test(entry));

const specifiers = entries.map((entry) => `mamba.ts${entry.slice(1)}`);

/** The user's program: prints what it computed, and ends by itself. */
const main = (options: object): string => `
import { compute } from "./compute.js";
console.log(JSON.stringify(await compute(${JSON.stringify(options)})));
`;

const computes = async (command: string, argv: string[], executor: "caller" | "pool", options: object) => {
  const file = project.write(`main-${executor}.mjs`, main(options));
  await expectComputed((await run(command, ...argv, file)) as Computed, executor);
};

it("computes in Node, on the caller's thread with others and on a pool, and lets the process end", async () => {
  await computes(process.execPath, [], "caller", { threads: 2 });
  await computes(process.execPath, [], "pool", { threads: 2, callerTakesPart: false });
});

it.skipIf(!deno)("computes in Deno", async () => {
  const argv = [
    "run",
    "--quiet",
    "--no-prompt",
    "--node-modules-dir=manual",
    "--allow-read",
    "--allow-env",
    "--allow-sys",
  ];
  await computes(deno!, argv, "caller", { threads: 2 });
  await computes(deno!, argv, "pool", { threads: 2, callerTakesPart: false });
});

it.skipIf(!bun)("computes in Bun", async () => {
  await computes(bun!, ["run"], "caller", { threads: 2 });
  await computes(bun!, ["run"], "pool", { threads: 2, callerTakesPart: false });
});

it("takes its kernels and its worker from files in Node", async () => {
  const file = project.write(
    "files.mjs",
    `import { compute } from "./compute.js";
    const [url, workerUrl] = ["kernels.wasm", "worker.js"].map((name) => import.meta.resolve("mamba.ts/wasm/" + name));
    console.log(JSON.stringify(await compute({ threads: 2, wasm: { url, workerUrl } })));`,
  );
  await expectComputed((await run(process.execPath, file)) as Computed, "caller");
});

it("is there for require() too", async () => {
  const file = project.write(
    "main.cjs",
    `const { tensor, openDevice } = require("mamba.ts");
    const { add } = require("mamba.ts/ops");
    openDevice("wasm").then(async (device) => {
      const [x, y] = [30, 12].map((value) => tensor([value], undefined, { device }));
      console.log(await add(x, y).item());
    });`,
  );
  expect(await run(process.execPath, "--no-warnings", file)).toBe(42);
});

it("leaves a server alone at import: no globals, listeners, timers, threads or files", async () => {
  expect(specifiers).toContain("mamba.ts/generation");
  const file = project.write(
    "imports.mjs",
    `import fs from "node:fs";
    const events = ["exit", "beforeExit", "uncaughtException", "unhandledRejection", "warning", "SIGINT", "SIGTERM"];
    const globals = () => Reflect.ownKeys(globalThis).map((key) => {
      const { value, get, set } = Object.getOwnPropertyDescriptor(globalThis, key);
      return [key, value, get, set];
    });
    const listeners = () => events.map((event) => process.listenerCount(event));
    const prototypes = () => [Object, Array, Promise, Float32Array, Uint8Array, Map, String, Number]
      .map(({ prototype }) => Reflect.ownKeys(prototype).length);
    const environment = () => JSON.stringify([process.env, process.execArgv, process.cwd(), process.exitCode]);
    const written = [];
    for (const name of ["writeFileSync", "mkdirSync", "openSync"]) fs[name] = () => written.push(name);
    // a builtin that is read for the first time is replaced by itself
    for (const key of Reflect.ownKeys(globalThis)) globalThis[key];
    const before = [globals(), listeners(), prototypes(), environment()];
    await Promise.all(${JSON.stringify(specifiers)}.map((name) => import(name)));
    const after = [globals(), listeners(), prototypes(), environment()];
    const changed = before[0].filter((entry, i) => entry.some((part, j) => !Object.is(part, after[0][i]?.[j])));
    console.log(JSON.stringify({
      changed: changed.map(([key]) => String(key)),
      added: after[0].length - before[0].length,
      others: JSON.stringify(before.slice(1)) === JSON.stringify(after.slice(1)),
      written,
      resources: process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY|FSReq|CloseReq/.test(name)),
    }));`,
  );
  expect(await run(process.execPath, file)).toEqual({
    changed: [],
    added: 0,
    others: true,
    written: [],
    resources: [],
  });
});

it("may be imported where nothing of the global object can be changed", async () => {
  const file = project.write(
    "frozen.mjs",
    `for (const key of Reflect.ownKeys(globalThis)) globalThis[key]; // builtins that are made when first read
    Object.preventExtensions(globalThis);
    for (const key of Reflect.ownKeys(globalThis)) {
      try { Object.defineProperty(globalThis, key, { writable: false }); } catch {}
    }
    const modules = await Promise.all(${JSON.stringify(specifiers)}.map((name) => import(name)));
    console.log(modules.length === ${specifiers.length} && typeof modules[0].openDevice === "function");`,
  );
  expect(await run(process.execPath, file)).toBe(true);
});

it("has types for NodeNext and for bundlers, without skipLibCheck", async () => {
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  const imports = specifiers.map((name, i) => `import * as m${i} from ${JSON.stringify(name)};`).join("\n");
  project.write(
    "types.ts",
    `${imports}
    export const all = [${specifiers.map((_, i) => `m${i}`)}];
    // @ts-expect-error a device has a name of its own
    m0.openDevice("cuda");
    export const lm: Promise<import("mamba.ts").CausalLM> = m0.CausalLM.fromPretrained("state-spaces/mamba-130m-hf");`,
  );
  for (const [module, resolution] of [
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ]) {
    const compilerOptions = {
      ...{ strict: true, noEmit: true, target: "es2022", types: [], module, moduleResolution: resolution },
      lib: ["es2023", "esnext.disposable", "dom", "dom.iterable", "dom.asynciterable"],
    };
    project.write(`tsconfig.${module}.json`, JSON.stringify({ compilerOptions, files: ["types.ts"] }));
    const argv = [tsc, "-p", `tsconfig.${module}.json`];
    const result = await promisify(execFile)(process.execPath, argv, { cwd: project.folder }).catch((error) => error);
    expect(result.stdout).toBe("");
  }
});
