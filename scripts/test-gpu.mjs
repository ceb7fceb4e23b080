// Holds every op on WebGPU to the float64 reference on the graphics card of this machine, and keeps what came out.
//   npm run test:gpu [-- --out bench/results/gpu-tests.json] [-- options of vitest]
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDevice } from "mamba.ts/tensor";

const given = process.argv.slice(2);
const at = given.indexOf("--out");
const out = at < 0 ? undefined : given.splice(at, 2)[1];
const device = await openDevice("webgpu");
const { description, features } = device;
device.dispose();
console.log(description);
const folder = mkdtempSync(join(tmpdir(), "mamba-gpu-tests-"));
const report = join(folder, "report.json");
const chosen = ["--project", "node", "src/ops", "src/backends/webgpu", "test/training-curve.test.ts"];
const reporters = ["--reporter=dot", "--reporter=json", `--outputFile=${report}`];
const { status } = spawnSync("npx", ["vitest", "run", ...chosen, ...reporters, ...given], {
  stdio: "inherit",
  shell: process.platform === "win32",
  env: { ...process.env, MAMBA_TEST_GPU: "system", MAMBA_TEST_BACKENDS: "webgpu" },
});
const { numPassedTests: passed, numFailedTests: failed, testResults } = JSON.parse(readFileSync(report, "utf8"));
rmSync(folder, { recursive: true });
const failures = testResults.flatMap(({ assertionResults }) =>
  assertionResults
    .filter((test) => test.status === "failed")
    .map(({ fullName, failureMessages: [message = ""] }) => ({ test: fullName, message: message.split("\n")[0] })),
);
for (const { test, message } of failures) console.log(`${test}: ${message}`);
console.log(`${passed} tests passed, ${failed} failed`);
if (out)
  writeFileSync(
    out,
    `${JSON.stringify({ card: description, features: [...features], passed, failed, failures }, null, 2)}\n`,
  );
process.exitCode = status ?? 1;
