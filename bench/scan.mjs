// Times the selective scan, forward and with all gradients.
//   node bench/scan.mjs [--length 512] [--channels 1536] [--states 16] [--threads 1] [--plain] [--runs 15] [--json]
import { parseArgs } from "node:util";
import { valueAndGrad } from "mamba.ts/autograd";
import { selectiveScan, sum } from "mamba.ts/ops";
import { openDevice, Random, scope, tensor } from "mamba.ts/tensor";
import { machine, median } from "./paired.mjs";

const { values: options } = parseArgs({
  options: {
    length: { type: "string", default: "512" },
    channels: { type: "string", default: "1536" },
    states: { type: "string", default: "16" },
    threads: { type: "string", default: "1" },
    runs: { type: "string", default: "15" },
    plain: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const [length, channels, states] = [options.length, options.channels, options.states].map(Number);
const device = await openDevice("wasm", { threads: Number(options.threads), relaxedSimd: !options.plain });
const random = new Random(1);
const normal = (shape) => tensor(Float32Array.from(random.normals(shape.reduce((a, b) => a * b))), shape, { device });
const rows = [1, length, channels];
const A = Float32Array.from({ length: channels * states }, (_, i) => -(1 + (i % states)));
const p = {
  u: normal(rows),
  delta: normal(rows),
  A: tensor(A, [channels, states], { device }),
  B: normal([1, length, states]),
  C: normal([1, length, states]),
  D: normal([channels]),
  z: normal(rows),
  deltaBias: normal([channels]),
};
const run = ({ u, delta, A, B, C, ...rest }) => selectiveScan(u, delta, A, B, C, { ...rest, deltaSoftplus: true }).y;

async function forward() {
  const y = scope(() => run(p));
  const start = performance.now();
  await y.read();
  y.dispose();
  return performance.now() - start;
}

async function gradients() {
  const { value, gradients } = valueAndGrad((parameters) => sum(run(parameters)), p);
  const start = performance.now();
  await value.read();
  for (const made of [value, ...Object.values(gradients)]) made.dispose();
  return performance.now() - start;
}

async function time(measure) {
  await measure();
  const times = [];
  for (let i = 0; i < Number(options.runs); i++) times.push(await measure());
  return { median: median(times), best: Math.min(...times) };
}

const result = { forward: await time(forward), withGradients: await time(gradients) };
if (options.json)
  console.log(JSON.stringify({ ...machine(), length, channels, states, features: [...device.features], result }));
else {
  console.log(
    `selective scan [1 ${length} ${channels}], ${states} states, ${device.threads} threads, ${[...device.features].join(" ")}`,
  );
  for (const [name, { median: middle, best }] of Object.entries(result)) {
    console.log(`${name.padEnd(14)} median ${middle.toFixed(1)} ms, best ${best.toFixed(1)} ms`);
  }
}
device.dispose();
