// Accuracy of trained models on a synthetic task by length of the rows, as a table, JSON and a picture.
//   node bench/task-lengths.mjs CONFIG --model "Mamba, seed 1=runs/heads-1/model" ... [--lengths 64,256,1024] [--samples 256]
//     [--tokens 67108864] [--device webgpu] [--title TEXT] [--svg docs/induction-heads.svg] [--out bench/results/induction-heads.json]
// A model's own lengths may follow its folder, as in NAME=FOLDER@64,256. Rows are those of validation, which training has not seen;
// of lengths where `--samples` rows hold more than `--tokens` tokens there are fewer.
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
    tokens: { type: "string", default: "Infinity" },
    device: { type: "string", default: "wasm" },
    threads: { type: "string", default: "2" },
    title: { type: "string", default: "accuracy by length" },
    svg: { type: "string" },
    out: { type: "string" },
  },
});
const command = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const report = { ...machine(), device: options.device, config: positionals[0], models: [] };
if (options.device === "webgpu") {
  report.card = JSON.parse(execFileSync(process.execPath, [command, "doctor", "--json"])).webgpu.description;
}

function measured(folder, length) {
  const samples = Math.max(1, Math.min(Number(options.samples), Math.floor(Number(options.tokens) / Number(length))));
  const sizes = ["--lengths", length, "--samples", String(samples)];
  const where = ["--device", options.device, "--threads", options.threads];
  const text = execFileSync(process.execPath, [
    ...["--experimental-wasm-relaxed-simd", command, "eval", folder],
    ...["--config", positionals[0], ...sizes, ...where, "--json"],
  ]);
  return JSON.parse(text).rows[0];
}

for (const given of options.model) {
  const [, name, folder, lengths = options.lengths] = /^(.*)=([^=@]*)(?:@(.*))?$/.exec(given);
  const rows = lengths.split(",").map((length) => {
    const { samples, loss, accuracy } = measured(folder, length);
    return { length: Number(length), samples, loss, accuracy };
  });
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
