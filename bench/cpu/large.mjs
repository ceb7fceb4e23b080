// The largest published shape with random weights of int4: node bench/cpu/large.mjs [--node PATH] [--model mamba-2.8b] [--format int4]
//   [--threads 2] [--prompt 128] [--tokens 16] [--runs 3] [--json]
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machine, median } from "../paired.mjs";
import { startOurs } from "./peer.mjs";

const { values: options } = parseArgs({
  options: {
    node: { type: "string", default: process.execPath },
    model: { type: "string", default: "mamba-2.8b" },
    format: { type: "string", default: "int4" },
    threads: { type: "string", default: "2" },
    prompt: { type: "string", default: "128" },
    tokens: { type: "string", default: "16" },
    runs: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});

const { model, format, threads, prompt, tokens } = options;
const program = await startOurs(options.node, ["--model", model, "--dtype", format, "--threads", threads]);
const { weightBytes, peakBytes, loadSeconds, node } = program.ready;
const speed = async (line, count) => {
  await program.measure(line);
  const seconds = [];
  for (let i = 0; i < Number(options.runs); i++) seconds.push(await program.measure(line));
  return count / median(seconds);
};
const report = { ...machine(), node, model, dtype: format, weightBytes, peakBytes, loadSeconds };
report.prefill = { tokens: Number(prompt), tokensPerSecond: await speed(`prefill ${prompt}`, Number(prompt)) };
report.decode = { tokens: Number(tokens), tokensPerSecond: await speed(`decode ${tokens}`, Number(tokens)) };
// the largest that the whole process was, node and all
if (process.platform === "linux") {
  const [, peak] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${program.pid}/status`, "utf8")) ?? [];
  report.processPeakBytes = Number(peak) * 1024;
}
program.stop();
console.log(JSON.stringify(report));
