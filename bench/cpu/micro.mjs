// Products and the scan of mamba-130m on one thread, beside what the machine reaches: node bench/cpu/micro.mjs [--runs 15] [--plain]
import { parseArgs } from "node:util";
import { linear, packWeight, selectiveScan } from "../../dist/entries/ops.js";
import { openDevice, Random, scope, tensor } from "../../dist/entries/tensor.js";
import { machine } from "../paired.mjs";
import { measureCeilings } from "./ceilings.mjs";

const { values: options } = parseArgs({
  options: { runs: { type: "string", default: "15" }, plain: { type: "boolean", default: false } },
});

// first, because it asks the engine for relaxed SIMD where that wants a flag
const device = await openDevice("wasm", { threads: 1, relaxedSimd: !options.plain });
const ceilings = await measureCeilings();
const random = new Random(1);
const draw = (shape) => tensor(Float32Array.from(random.normals(shape.reduce((a, b) => a * b))), shape, { device });

async function fastest(run) {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < Number(options.runs); i++) {
    const made = scope(run);
    const start = performance.now();
    await made.read();
    best = Math.min(best, (performance.now() - start) / 1000);
    made.dispose();
  }
  return best;
}

const rows = [];
for (const [count, inner, columns] of [
  [512, 768, 3072],
  [512, 1536, 768],
  [1, 768, 3072],
  [1, 768, 50280],
]) {
  const [x, w] = [draw([count, inner]), draw([columns, inner])];
  for (const dtype of ["float32", "float16", "int8", "int4"]) {
    const before = device.memory().used;
    const packed = packWeight(w, dtype);
    const bytes = device.memory().used - before;
    const seconds = await fastest(() => linear(x, packed));
    const name = `[${count} ${inner}] by ${columns} columns, ${dtype}`;
    const operations = 2 * count * inner * columns;
    rows.push({ name, milliseconds: 1e3 * seconds, gops: operations / seconds / 1e9, gbs: bytes / seconds / 1e9 });
    packed.dispose();
  }
  x.dispose();
  w.dispose();
}

const [length, channels, states] = [512, 1536, 16];
const A = tensor(
  Float32Array.from({ length: channels * states }, (_, i) => -(1 + (i % states))),
  [channels, states],
  { device },
);
const shape = [1, length, channels];
const [u, delta, z, B, C, D, deltaBias] = [
  ...[draw(shape), draw(shape), draw(shape), draw([1, length, states]), draw([1, length, states])],
  ...[draw([channels]), draw([channels])],
];
const seconds = await fastest(() => selectiveScan(u, delta, A, B, C, { D, z, deltaBias, deltaSoftplus: true }).y);
rows.push({
  name: `selective scan [1 ${length} ${channels}], ${states} states`,
  milliseconds: 1e3 * seconds,
  // u, delta, z and y; one exponential and 6 operations a state, counted as in the literature
  gops: (length * channels * states * 7) / seconds / 1e9,
  gbs: (4 * length * channels * 4) / seconds / 1e9,
});
console.log(JSON.stringify({ ...machine(), features: [...device.features], ceilings, rows }));
device.dispose();
