import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeUserProject, root, type UserProject } from "./user-project.ts";

type Condition = string | Record<string, string>;
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  exports: Record<string, Condition>;
  bin: Record<string, string>;
};
const entries = Object.keys(manifest.exports).filter((entry) => !/\.(?:json|wasm|js)$/.test(entry));

const bundled = manifest.exports as Record<string, Record<string, string>>;

let project: UserProject;

beforeAll(() => {
  project = makeUserProject();
});

afterAll(() => project?.remove());

const own = (path: string): string => join(project.folder, "node_modules/mamba.ts", path);

describe("the tarball", () => {
  it("has at most 5 MB", () => {
    expect(statSync(project.tarball).size).toBeLessThan(5_000_000);
  });

  it("holds what was built from a source, and neither models nor tests nor fixtures", () => {
    const listed = execFileSync("tar", ["tzf", project.tarball], { encoding: "utf8" }).trim().split("\n");
    const files = listed.map((path) => path.replace(/^package\//, "")).sort();
    expect(files.filter((path) => !path.startsWith("dist/"))).toEqual(
      ["CHANGELOG.md", "LICENSE", "README.md", "package.json"].sort(),
    );
    expect(
      files.filter((path) => path.startsWith("dist/") && !/(?:\.js|\.js\.map|\.d\.ts|\.wasm)$/.test(path)),
    ).toEqual([]);
    expect(files.filter((path) => /\.(?:test|bench|as|gen)\.|\/fixtures\//.test(path))).toEqual([]);
    const built = files.filter((path) => path.startsWith("dist/") && !path.startsWith("dist/wasm/"));
    const sourceOf = (path: string): string =>
      path.replace(/^dist\//, "src/").replace(/(?:\.d\.ts|\.js|\.js\.map)$/, ".ts");
    expect(built.length).toBeGreaterThan(100);
    expect(built.filter((path) => !existsSync(join(root, sourceOf(path))))).toEqual([]);
  });

  it("has every file that package.json names, and a command that starts", () => {
    const paths = Object.values(manifest.exports).flatMap((target) => Object.values([target].flat()[0] ?? {}));
    const plain = Object.values(manifest.exports).filter((target) => typeof target === "string");
    const named = [...paths.filter((path) => path.startsWith("./")), ...plain, ...Object.values(manifest.bin)];
    expect(named.length).toBeGreaterThan(2 * entries.length);
    expect(named.filter((path) => !existsSync(own(path)))).toEqual([]);
    const command = own(manifest.bin["mamba.ts"]!);
    expect(execFileSync(command, ["--version"], { encoding: "utf8" })).toMatch(/\d+\.\d+\.\d+/);
  });

  it("has the wasm modules that package.json names, whole", () => {
    const exported = Object.keys(manifest.exports).flatMap((entry) => /^\.\/wasm\/(.*)/.exec(entry)?.[1] ?? []);
    expect(readdirSync(own("dist/wasm")).sort()).toEqual(exported.sort());
    for (const name of readdirSync(own("dist/wasm")).filter((file) => file.endsWith(".wasm"))) {
      const bytes = readFileSync(own(`dist/wasm/${name}`));
      expect([name, ...bytes.subarray(0, 4)]).toEqual([name, 0, 0x61, 0x73, 0x6d]);
    }
    expect(WebAssembly.validate(readFileSync(own("dist/wasm/kernels.wasm")))).toBe(true);
  });
});

describe("bundled for browsers", () => {
  it.each(entries)("%s needs nothing of Node", async (entry) => {
    const input = project.write("entry.js", `export * from ${JSON.stringify(`mamba.ts${entry.slice(1)}`)};`);
    const result = await build({
      root: project.folder,
      configFile: false,
      logLevel: "silent",
      build: {
        write: false,
        minify: false,
        lib: { entry: input, formats: ["es"] },
      },
    });
    const chunks = [result].flat().flatMap((output) => ("output" in output ? output.output : []));
    const code = chunks.map((chunk) => ("code" in chunk ? chunk.code : "")).join("\n");
    // an entry of types alone leaves nothing
    const exported = Object.keys((await import(own(`${bundled[entry]!["default"]}`))) as object);
    expect(exported.filter((name) => !code.includes(name))).toEqual([]);
    expect(code.match(/(?:from|import|require)\s*\(?\s*["'`](?:node:|fs|os|path|v8|worker_threads)[^\n]*/g)).toBeNull();
    // what Vite puts in the place of a builtin
    expect(code.includes("__vite-browser-external")).toBe(false);
  });

  it("leaves out what a program does not use", async () => {
    const input = project.write("entry.js", `import { ShapeError } from "mamba.ts"; console.log(ShapeError.name);`);
    const result = await build({
      root: project.folder,
      configFile: false,
      logLevel: "silent",
      build: { write: false, lib: { entry: input, formats: ["es"] } },
    });
    const chunks = [result].flat().flatMap((output) => ("output" in output ? output.output : []));
    expect(chunks).toHaveLength(1);
    expect("code" in chunks[0]! && chunks[0].code.length).toBeLessThan(2000);
  });
});
