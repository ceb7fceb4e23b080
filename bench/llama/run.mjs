// mamba-130m beside llama.cpp on this machine's CPU, float32, alternating in one run.
//   npm run bench:llama -- [--pairs 7] [--threads 1,2] [--prompt 512] [--tokens 64] [--plain] [--out FILE]
// See install.mjs for what it needs.
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeRandomGguf } from "../../dist/cli/bench/random-gguf.js";
import { mambaPreset } from "../../dist/models/index.js";
import { comparePairs, machine, startProgram } from "../paired.mjs";
import { build, cache, install, libraries, VERSION } from "./install.mjs";

const here = dirname(fileURLToPath(import.meta.url));

async function prepare() {
  install();
  const peer = build("peer");
  const model = join(cache, "mamba-130m-f32.gguf");
  if (!existsSync(model)) {
    await writeRandomGguf(`${model}.part`, mambaPreset("mamba-130m"), "float32");
    renameSync(`${model}.part`, model);
  }
  return { peer, model };
}

const { values: options } = parseArgs({
  options: {
    pairs: { type: "string", default: "7" },
    threads: { type: "string", default: "1,2" },
    prompt: { type: "string", default: "512" },
    tokens: { type: "string", default: "64" },
    plain: { type: "boolean", default: false },
    out: { type: "string" },
  },
});

const { peer, model } = await prepare();
const report = { ...machine(), peer: `llama.cpp of node-llama-cpp ${VERSION}, float32`, results: [] };
console.log(`mamba-130m, random float32 weights, ${report.cpu}, ${report.cores} cores, Node ${report.node}`);
console.log("threads  what     mamba.ts tok/s  llama.cpp tok/s  ratio  interval of the median ratio");
for (const threads of options.threads.split(",").map(Number)) {
  const own = [join(here, "../language-model.mjs"), "--serve", "--threads", String(threads)];
  if (options.plain) own.push("--plain");
  const ours = await startProgram(process.execPath, own);
  const theirs = await startProgram(peer, [model, String(threads)], { LLAMA_LIBRARIES: libraries });
  for (const [what, count] of [
    ["prefill", Number(options.prompt)],
    ["decode", Number(options.tokens)],
  ]) {
    const { a, b, speedup, interval } = await comparePairs(ours, theirs, `${what} ${count}`, Number(options.pairs));
    const result = { threads, what, count, mamba: count / a, llama: count / b, ratio: speedup, interval };
    report.results.push(result);
    const cells = [
      String(threads).padStart(7),
      what.padEnd(7),
      result.mamba.toFixed(1).padStart(14),
      result.llama.toFixed(1).padStart(16),
      speedup.toFixed(2).padStart(5),
      interval.map((bound) => bound.toFixed(2)).join(" to "),
    ];
    console.log(cells.join("  "));
  }
  ours.stop();
  theirs.stop();
}
if (options.out) writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
