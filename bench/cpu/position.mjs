// Decoding at a far position against a near one, turn by turn, both from saved states: node bench/cpu/position.mjs [--node PATH]
//   [--format int8] [--threads 2] [--near 100] [--far 100000] [--pairs 15] [--tokens 64] [--json]
import { parseArgs } from "node:util";
import { machine, median, medianInterval } from "../paired.mjs";
import { startOurs } from "./peer.mjs";

const { values: options } = parseArgs({
  options: {
    node: { type: "string", default: process.execPath },
    format: { type: "string", default: "int8" },
    threads: { type: "string", default: "2" },
    near: { type: "string", default: "100" },
    far: { type: "string", default: "100000" },
    pairs: { type: "string", default: "15" },
    tokens: { type: "string", default: "64" },
    json: { type: "boolean", default: false },
  },
});

const { near, far, tokens } = options;
const program = await startOurs(options.node, ["--dtype", options.format, "--threads", options.threads]);
const seconds = { near: [], far: [] };
const started = performance.now();
await program.measure(`decode ${tokens} ${far}`);
const prefillSeconds = (performance.now() - started) / 1000;
await program.measure(`decode ${tokens} ${near}`);
for (let i = 0; i < Number(options.pairs); i++) {
  seconds.near.push(await program.measure(`decode ${tokens} ${near}`));
  seconds.far.push(await program.measure(`decode ${tokens} ${far}`));
}
program.stop();
const ratios = seconds.near.map((value, i) => value / seconds.far[i]);
const report = {
  ...machine(),
  ...{ node: program.ready.node, dtype: options.format, near: Number(near), far: Number(far), prefillSeconds },
  nearTokensPerSecond: Number(tokens) / median(seconds.near),
  farTokensPerSecond: Number(tokens) / median(seconds.far),
  ratioOfMedians: median(seconds.near) / median(seconds.far),
  interval: medianInterval(ratios),
};
console.log(JSON.stringify(report));
