// What the three views of a state space cost from length 2^10 to 2^18: the kernel, the convolution with it, and the recurrence, by scan
// (S4D) and step by step; and what a step of S4 takes in time and memory beside a transformer whose cache grows.
//   node bench/state-spaces.mjs [--features 16] [--states 64] [--from 10] [--to 18] [--runs 5] [--stepped 16384]
//     [--device wasm] [--threads 2] [--out bench/results/state-spaces.json]
// Times are the least of the runs. Memory is what a device held at most, less what layer and input take.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { LsslLayer, LsslRecurrence, S4Layer, S4Recurrence } from "mamba.ts/layers";
import { ClassifierRecurrence, ClassifierState, SequenceClassifier } from "mamba.ts/models";
import { diagonalScan, fftConv } from "mamba.ts/ops";
import { openDevice, Random, scope, tensor, zeros } from "mamba.ts/tensor";
import { machine, median } from "./paired.mjs";

const { values: options } = parseArgs({
  options: {
    features: { type: "string", default: "16" },
    states: { type: "string", default: "64" },
    from: { type: "string", default: "10" },
    to: { type: "string", default: "18" },
    runs: { type: "string", default: "5" },
    stepped: { type: "string", default: "16384" },
    device: { type: "string", default: "wasm" },
    threads: { type: "string", default: "2" },
    out: { type: "string" },
  },
});
const [features, states, from, to, runs, mostSteps] = ["features", "states", "from", "to", "runs", "stepped"].map(
  (name) => Number(options[name]),
);
/** Steps between two looks at the clock. */
const BLOCK = 64;

const openFresh = () => openDevice(options.device, { threads: Number(options.threads) });

const create = {
  S4: (given, length) =>
    S4Layer.create(
      { dModel: features, dState: states, structure: "low-rank", kernelLength: length },
      { init: "legs" },
      given,
    ),
  S4D: (given) => S4Layer.create({ dModel: features, dState: states, structure: "diagonal" }, { init: "lin" }, given),
  LSSL: (given) => LsslLayer.create({ dModel: features, dState: states }, { measure: "legs" }, given),
};

/** Milliseconds at least, and bytes at most, of what `make` gives and reads. */
async function measure(device, make) {
  const before = device.memory().used;
  let milliseconds = Infinity;
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    const made = scope(make);
    await made.read();
    milliseconds = Math.min(milliseconds, performance.now() - start);
    made.dispose();
  }
  return { milliseconds, bytes: device.memory().peak - before };
}

/** A device of its own, so that its peak is that of one measurement. */
async function onFresh(prepare) {
  const device = await openFresh();
  try {
    return await measure(device, await prepare({ device, random: new Random(1) }));
  } finally {
    device.dispose();
  }
}

const noise = ({ device, random }, length) =>
  tensor(Float32Array.from(random.normals(length * features)), [1, length, features], { device });

/** Milliseconds of `length` steps; beyond the most they are counted on from those. */
async function stepping(name, length) {
  const device = await openFresh();
  const given = { device, random: new Random(1) };
  // a step does not depend on the length that C is tuned to
  const layer = create[name](given, Math.min(length, 2 ** 12));
  const recurrence = name === "LSSL" ? new LsslRecurrence(layer) : await S4Recurrence.of(layer);
  const u = tensor(Float32Array.from(given.random.normals(features)), [1, features], { device });
  let state = recurrence.initialState(1);
  const steps = Math.min(length, mostSteps);
  const start = performance.now();
  for (let t = 1; t <= steps; t++) {
    const next = recurrence.step(u, state);
    next.y.dispose();
    state.dispose();
    state = next.state;
    if (t % BLOCK === 0) await state.read();
  }
  await state.read();
  const milliseconds = ((performance.now() - start) * length) / steps;
  const bytes = state.size * 4;
  device.dispose();
  return { milliseconds, bytes, steps };
}

async function growthOf(name) {
  const rows = [];
  for (let power = from; power <= to; power++) {
    const length = 2 ** power;
    const kernel = await onFresh((given) => {
      const layer = create[name](given, length);
      return () => layer.kernels(length)[0];
    });
    const convolution = await onFresh((given) => {
      const [u, k] = [noise(given, length), tensor(given.random.normals(length * features), [length, features], given)];
      return () => fftConv(u, k);
    });
    const scan = name === "S4D" ? await onFresh((given) => scanOf(given, length)) : undefined;
    const recurrence = await stepping(name, length);
    rows.push({ length, kernel, convolution, ...(scan ? { scan } : {}), recurrence });
    print(name, rows.at(-1));
  }
  return rows;
}

function scanOf(given, length) {
  const { device, random } = given;
  const pairs = (re) =>
    tensor(
      Float32Array.from({ length: features * states }, (_, i) => (i % 2 === 0 ? re : 0.1 * random.normal())),
      [features, states / 2, 2],
      { device },
    );
  const u = noise(given, length);
  const delta = tensor(new Float32Array(length * features).fill(0.1), [1, length, features], { device });
  const [A, gain, C] = [pairs(-0.5), pairs(1), pairs(1)];
  return () => diagonalScan(u, delta, A, gain, C).y;
}

const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const cost = ({ milliseconds, bytes }) => `${milliseconds.toFixed(1)} ms ${mebibytes(bytes)}`.padEnd(24);

function print(name, { length, kernel, convolution, scan, recurrence }) {
  const counted = recurrence.steps < length ? "*" : "";
  const last = `${recurrence.milliseconds.toFixed(0)} ms${counted}`;
  console.log(
    `${name.padEnd(6)}${String(length).padEnd(8)}${cost(kernel)}${cost(convolution)}${scan ? cost(scan) : "".padEnd(24)}${last}`,
  );
}

/** What costs grow by where the length doubles, over the last four lengths. */
function exponentOf(rows, view) {
  const [first, last] = [rows.at(-Math.min(5, rows.length)), rows.at(-1)];
  const growth = Math.log2(last[view].milliseconds / first[view].milliseconds);
  return growth / Math.log2(last.length / first.length);
}

/** Microseconds of a step and bytes of a state at positions, of models of four layers of 128. */
async function beside(mixer, positions) {
  const device = await openFresh();
  const config = { vocabSize: 256, classes: 256, dModel: 128, nLayer: 4, mixer };
  const model = SequenceClassifier.create(config, { device, seed: 1 });
  const steps = await ClassifierRecurrence.of(model);
  const ids = tensor(Int32Array.of(7), [1], { device });
  const rows = [];
  for (const position of positions) {
    let state = steps.initialState(1);
    if (mixer.kind === "attention") {
      // a cache as it would be there: what is in it does not matter to the time
      const cache = () => zeros([1, position, mixer.heads, 128 / mixer.heads], { device });
      const layers = Array.from({ length: 4 }, () => [cache(), cache()]);
      state.dispose();
      state = new ClassifierState(layers, zeros([1, 128], { device }), position);
    }
    const bytes = state.byteLength;
    const times = [];
    for (let i = 0; i < 16; i++) {
      const start = performance.now();
      const next = steps.step(ids, state);
      state.dispose();
      state = next;
      await state.pooled.read();
      times.push(1000 * (performance.now() - start));
    }
    state.dispose();
    rows.push({ position, microseconds: median(times), bytes });
  }
  steps.dispose();
  device.dispose();
  return rows;
}

console.log(`${options.device}, ${features} features of ${states} states; * counted on from ${mostSteps} steps`);
console.log(`${"".padEnd(6)}length  ${["kernel", "convolution", "scan"].map((x) => x.padEnd(24)).join("")}steps`);
const growth = {};
for (const name of Object.keys(create)) growth[name] = await growthOf(name);
console.log("\ngrows as length to the power of (over the last four doublings)");
const exponents = {};
for (const [name, rows] of Object.entries(growth)) {
  const views = ["kernel", "convolution", "scan", "recurrence"].filter((view) => rows[0][view]);
  exponents[name] = Object.fromEntries(views.map((view) => [view, exponentOf(rows, view)]));
  console.log(`${name.padEnd(6)}${views.map((view) => `${view} ${exponents[name][view].toFixed(2)}`).join("  ")}`);
}
const positions = [0, 1024, 4096, 16384, 65536];
const s4 = { kind: "s4", dState: 64, structure: "low-rank", kernelLength: 1024 };
const stepRows = {
  S4: await beside(s4, positions),
  transformer: await beside({ kind: "attention", heads: 4 }, positions),
};
console.log("\nposition  S4: step, state          transformer: step, cache");
stepRows.S4.forEach(({ position, microseconds, bytes }, i) => {
  const other = stepRows.transformer[i];
  const own = `${microseconds.toFixed(0)} us ${mebibytes(bytes)}`;
  console.log(
    `${String(position).padEnd(10)}${own.padEnd(25)}${other.microseconds.toFixed(0)} us ${mebibytes(other.bytes)}`,
  );
});
const report = {
  ...machine(),
  ...{ device: options.device, threads: Number(options.threads), features, states, runs },
  ...{ growth, exponents, steps: stepRows },
};
if (options.out) writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
