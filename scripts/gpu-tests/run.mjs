// Runs the test files of its folder, each in a process of its own, and keeps what came out.
//   node run.mjs [--out FILE] [--only PART_OF_A_FILE_NAME] [--jobs N]
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { startTests } from "@vitest/runner";
import { openDevice } from "../../src/ops/devices.ts";

process.env.MAMBA_TEST_GPU ??= "system";
process.env.MAMBA_TEST_BACKENDS ??= "webgpu";
const option = (name) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined);

const config = {
  root: process.cwd(),
  setupFiles: [],
  passWithNoTests: false,
  allowOnly: false,
  sequence: { seed: 0, hooks: "stack", setupFiles: "parallel" },
  maxConcurrency: 1,
  testTimeout: 30_000,
  hookTimeout: 60_000,
  retry: 0,
  tags: [],
};

const messageOf = ({ errors }) => (errors?.[0]?.message ?? "").split("\n")[0];

/** Results of one file: how many tests passed and were skipped, and which failed. */
async function runFile(file) {
  const runner = { config, pool: "forks", importFile: () => import(new URL(file, import.meta.url).href) };
  const [ran] = await startTests([file], runner);
  const result = { passed: 0, skipped: 0, failures: [] };
  const walk = (task, path) => {
    if (task.type === "suite") for (const child of task.tasks) walk(child, [...path, child.name]);
    else if (task.result?.state === "pass") result.passed++;
    else if (task.result?.state === "fail")
      result.failures.push({ test: path.join(" "), message: messageOf(task.result) });
    else result.skipped++;
  };
  walk(ran, []);
  // the file itself could not be loaded
  if (ran.result?.errors?.length) result.failures.push({ test: file, message: messageOf(ran.result) });
  return result;
}

/** The same from a process of its own. */
function runApart(file) {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "--file", file]);
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  return new Promise((resolve) => {
    child.on("close", (code) => {
      try {
        resolve(JSON.parse(output.trim().split("\n").at(-1)));
      } catch {
        const message = `ended with ${code}: ${errors.trim().split("\n").at(-1)}`;
        resolve({ passed: 0, skipped: 0, failures: [{ test: file, message }] });
      }
    });
  });
}

async function runAll() {
  const device = await openDevice("webgpu");
  const { description, features } = device;
  device.dispose();
  console.log(description);
  const all = JSON.parse(readFileSync(new URL("files.json", import.meta.url), "utf8"));
  const files = all.filter((name) => name.includes(option("--only") ?? ""));
  const started = performance.now();
  const total = { passed: 0, skipped: 0, failures: [] };
  const waiting = [...files];
  const work = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      const { passed, skipped, failures } = await runApart(file);
      total.passed += passed;
      total.skipped += skipped;
      total.failures.push(...failures);
      console.log(`${file.replace(/^[./]+/, "")}: ${passed} passed, ${failures.length} failed, ${skipped} skipped`);
    }
  };
  await Promise.all(Array.from({ length: Number(option("--jobs") ?? 1) }, work));
  for (const { test, message } of total.failures) console.log(`FAILED ${test}: ${message}`);
  const { passed, failures, skipped } = total;
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(`${passed} tests passed, ${failures.length} failed, ${skipped} skipped in ${seconds} s`);
  const result = { card: description, features: [...features], passed, failed: failures.length, failures };
  const out = option("--out");
  if (out) writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
  process.exitCode = failures.length > 0 || passed === 0 ? 1 : 0;
}

const file = option("--file");
if (file) {
  console.log(JSON.stringify(await runFile(file)));
  process.exit();
} else await runAll();
