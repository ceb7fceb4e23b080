// Accuracy of trained models on a synthetic task by length of the rows, as a table, JSON and a picture.
//   node bench/task-lengths.mjs CONFIG --model "Mamba, seed 1=runs/heads-1/model" ... [--lengths 64,256,1024] [--samples 256]
//     [--title TEXT] [--svg docs/induction-heads.svg] [--out bench/results/induction-heads.json]
// A model's own lengths may follow its folder, as in NAME=FOLDER@64,256. Rows are those of validation, which training has not seen.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { plotSvg } from "mamba.ts/training";
import { machine } from "./paired.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", multiple: true, default: [] },
    lengths: { type: "string", default: "64,256,1024,4096,16384,65536,131072" },
    samples: { type: "string", default: "256" },
    threads: { type: "string", default: "2" },
    title: { type: "string", default: "accuracy by length" },
    svg: { type: "string" },
    out: { type: "string" },
  },
});
const command = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const report = { ...machine(), config: positionals[0], samples: Number(options.samples), models: [] };
for (const given of options.model) {
  const [, name, folder, lengths = options.lengths] = /^(.*)=([^=@]*)(?:@(.*))?$/.exec(given);
  const flags = ["--lengths", lengths, "--samples", options.samples, "--threads", options.threads, "--json"];
  const text = execFileSync(process.execPath, [command, "eval", folder, "--config", positionals[0], ...flags]);
  const rows = JSON.parse(text).rows.map(({ length, samples, loss, accuracy }) => ({
    length,
    samples,
    loss,
    accuracy,
  }));
  report.models.push({ name, rows });
  console.log(
    `${name}: ${rows.map(({ length, accuracy }) => `${length} ${(100 * accuracy).toFixed(1)} %`).join(", ")}`,
  );
}
if (options.out) writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
if (options.svg) {
  const lines = report.models.map(({ name, rows }) => ({
    name,
    points: rows.map(({ length, accuracy }) => ({ x: Math.log2(length), y: 100 * accuracy })),
  }));
  writeFileSync(
    options.svg,
    plotSvg({ title: options.title, xLabel: "log2 of the length", yLabel: "accuracy, %", lines }),
  );
}
