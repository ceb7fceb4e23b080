// Test accuracy, and area under the curve of two classes, of trained classifiers of sequences, as a table and JSON.
//   node bench/sequence-tasks.mjs --run "sequential MNIST, S4D=runs/sequential-mnist" ... [--samples N] [--lengths 64,128]
//     [--threads 2] [--out bench/results/sequence-tasks.json]
// A run's own configuration says what it is tested on: the data set's test part, or rows that are drawn apart.
// Lengths, for runs on ListOps, may follow a folder, as in NAME=FOLDER@64,128.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { machine } from "./paired.mjs";

const { values: options } = parseArgs({
  options: {
    run: { type: "string", multiple: true, default: [] },
    samples: { type: "string" },
    device: { type: "string", default: "wasm" },
    threads: { type: "string", default: "2" },
    out: { type: "string" },
  },
});
const command = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

/** What a run was, without where its data lay. */
function factsOf(folder) {
  const { model, data, steps, batch, seed } = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  const { folder: _, ...own } = data;
  const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8").trimEnd().split("\n");
  const metrics = lines.map((line) => JSON.parse(line));
  const best = metrics.filter((line) => line.validationLoss !== undefined);
  best.sort((a, b) => a.validationLoss - b.validationLoss);
  return {
    ...{ model, data: own, plannedSteps: steps, batch, seed, steps: metrics.at(-1).step },
    ...(best.length ? { bestStep: best[0].step, validationLoss: best[0].validationLoss } : {}),
  };
}

function test(folder, lengths) {
  const flags = ["--config", join(folder, "config.json"), "--device", options.device, "--threads", options.threads];
  if (options.samples) flags.push("--samples", options.samples);
  if (lengths) flags.push("--lengths", lengths);
  const text = execFileSync(process.execPath, [command, "eval", join(folder, "model"), ...flags, "--json"]);
  return JSON.parse(text).rows;
}

const report = { ...machine(), device: options.device, runs: [] };
for (const given of options.run) {
  const [, name, folder, lengths] = /^(.*)=([^=@]*)(?:@(.*))?$/.exec(given);
  const rows = test(folder, lengths);
  report.runs.push({ name, ...factsOf(folder), rows });
  for (const { length, count, accuracy, auroc } of rows) {
    const area = auroc === undefined ? "" : `  AUROC ${auroc.toFixed(4)}`;
    console.log(`${name.padEnd(36)}${String(length).padEnd(8)}${(100 * accuracy).toFixed(2)} % of ${count}${area}`);
  }
}
if (options.out) writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
