import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildCommand } from "./kit/command.ts";

const root = new URL("..", import.meta.url).pathname;
const folder = join(root, ".cache/readme");
const run = promisify(execFile);
const text = await readFile(join(root, "README.md"), "utf8");
/** TypeScript blocks; those that go on from a model of an earlier block are not programs of their own. */
const programs = [...text.matchAll(/```ts\n(.*?)```/gs)]
  .map(([, code]) => code!)
  .filter((code) => code.includes("import"));
const commands = [...text.matchAll(/^ {4}npx mamba (.+)$/gm)].map(([, line]) => line!);

beforeAll(async () => {
  await buildCommand();
  await mkdir(folder, { recursive: true });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("README", () => {
  it("has programs and commands to try", () => {
    expect(programs.length).toBe(2);
    expect(commands.length).toBeGreaterThan(3);
  });

  it.each(programs.map((code, i) => [i, code] as const))("has a program %i that runs as written", async (i, code) => {
    const path = join(folder, `program-${i}.mjs`);
    await writeFile(path, code);
    const { stdout } = await run(process.execPath, [path], { cwd: root });
    expect(stdout.length).toBeGreaterThan(10);
  });

  it.each(commands)(
    "has a command that runs as written: mamba %s",
    async (line) => {
      const given = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!);
      // runs go where they leave nothing behind
      const words = given.map((word) => word.replace(/^runs\//, `${folder}/`));
      const { stdout } = await run(process.execPath, [join(root, "dist/cli/main.js"), ...words], { cwd: root });
      expect(stdout.length).toBeGreaterThan(10);
    },
    120_000,
  );
});
