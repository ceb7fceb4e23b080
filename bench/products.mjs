// Times linear maps of mamba-130m with weights of every type, their gradients, and the fused output head, as GFLOP/s (Gop/s of int8
// and int4) and GB/s of weights.
//   node bench/products.mjs [--threads 1] [--runs 15] [--plain] [--json]
import { parseArgs } from "node:util";
import { valueAndGrad } from "mamba.ts/autograd";
import { linear, linearCrossEntropy, packWeight, sum } from "mamba.ts/ops";
import { openDevice, scope, tensor } from "mamba.ts/tensor";
import { machine } from "./paired.mjs";

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "1" },
    runs: { type: "string", default: "15" },
    plain: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const device = await openDevice("wasm", { threads: Number(options.threads), relaxedSimd: !options.plain });
const results = [];

function draw(shape) {
  const size = shape.reduce((product, length) => product * length, 1);
  return tensor(
    Float32Array.from({ length: size }, (_, i) => ((i * 7919) % 1000) / 1000 - 0.5),
    shape,
    { device },
  );
}

/** Fastest of the runs, in seconds; `run` returns a tensor to wait for. */
async function fastest(run, runs = Number(options.runs)) {
  let best = Number.POSITIVE_INFINITY;
  const probe = draw([1]);
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    const made = run();
    device.flush();
    await probe.read();
    best = Math.min(best, (performance.now() - start) / 1000);
    for (const one of made) one.dispose();
  }
  return best;
}

function report(name, seconds, operations, bytes) {
  const row = { name, milliseconds: seconds * 1000, gflops: operations / seconds / 1e9, gbs: bytes / seconds / 1e9 };
  results.push(row);
  if (options.json) return;
  const cells = [row.milliseconds.toFixed(2), row.gflops.toFixed(1), row.gbs.toFixed(1)].map((x) => x.padStart(9));
  console.log(name.padEnd(40), ...cells);
}

const shapes = [
  [512, 768, 3072],
  [512, 1536, 80],
  [512, 48, 1536],
  [512, 1536, 768],
  [1, 768, 3072],
  [1, 1536, 768],
  [1, 768, 50280],
  [4, 768, 50280],
];

if (!options.json) console.log("".padEnd(40), ...["ms", "GFLOP/s", "GB/s"].map((x) => x.padStart(9)));
for (const [rows, inner, columns] of shapes) {
  const [x, w] = [draw([rows, inner]), draw([columns, inner])];
  const packed = packWeight(w);
  const operations = 2 * rows * inner * columns;
  const name = `[${rows} ${inner}] by ${columns} columns`;
  report(`${name}, packed`, await fastest(() => [linear(x, packed)]), operations, inner * columns * 4);
  const smaller = inner % 32 === 0 ? ["float16", "bfloat16", "int8", "int4"] : ["float16", "bfloat16"];
  for (const dtype of smaller) {
    const before = device.memory().used;
    const rounded = packWeight(w, dtype);
    const bytes = device.memory().used - before;
    report(`${name}, ${dtype}`, await fastest(() => [linear(x, rounded)]), operations, bytes);
    rounded.dispose();
  }
  report(`${name}, plain`, await fastest(() => [linear(x, w)]), operations, inner * columns * 4);
  if (rows > 4) {
    const step = () => Object.values(valueAndGrad(() => scope(() => sum(linear(x, w))), { x, w }).gradients);
    report(`${name}, with gradients`, await fastest(step, 5), 3 * operations, inner * columns * 4);
  }
  for (const made of [x, w, packed]) made.dispose();
}

const [tokens, width, vocabulary] = [512, 768, 50280];
const [x, weight] = [draw([tokens, width]), draw([vocabulary, width])];
const targets = tensor(
  Int32Array.from({ length: tokens }, (_, i) => i * 7),
  [tokens],
  { device },
);
const operations = 2 * tokens * width * vocabulary;
const head = () => linearCrossEntropy(x, weight, targets);
const forward = () => Object.values(head());
report("linearCrossEntropy", await fastest(forward, 3), operations, weight.size * 4);
const backward = () => Object.values(valueAndGrad(() => head().loss, { x, weight }).gradients);
report("linearCrossEntropy, with gradients", await fastest(backward, 3), 4 * operations, weight.size * 4);

const features = [...device.features];
const { peak } = device.memory();
if (options.json) console.log(JSON.stringify({ machine: machine(), threads: device.threads, features, peak, results }));
else console.log(`${device.threads} threads, ${features.join(" ")}, peak ${(peak / 2 ** 20).toFixed(0)} MiB`);
device.dispose();
