// A trained classifier of MNIST pixel by pixel, as a convolution and step by step: the same predictions? And what does a step take as the
// sequence grows, in time and memory, beside a transformer of the same width and depth with its cache?
//   node bench/classifier-steps.mjs MODEL IMAGES [--rows 200] [--batch 50] [--permutation-seed N]
//     [--positions 256,1024,4096] [--heads 4] [--device wasm] [--threads 2] [--out bench/results/classifier-steps.json]
// MODEL is what `mamba train` or state-spaces/s4 wrote, IMAGES a folder with MNIST's test files.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Classifier } from "mamba.ts";
import { pixelSequences, readMnist } from "mamba.ts/data";
import { ClassifierRecurrence, SequenceClassifier } from "mamba.ts/models";
import { tensor } from "mamba.ts/tensor";
import { machine, median } from "./paired.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: "string", default: "200" },
    batch: { type: "string", default: "50" },
    "permutation-seed": { type: "string" },
    positions: { type: "string", default: "256,1024,4096" },
    heads: { type: "string", default: "4" },
    device: { type: "string", default: "wasm" },
    threads: { type: "string", default: "2" },
    out: { type: "string" },
  },
});
const [name, folder] = positionals;
if (!folder) throw new Error("give a model and a folder with MNIST's test files");
/** Steps between two looks at the clock. */
const BLOCK = 16;
/** Blocks whose median is a step's time at a position. */
const BLOCKS = 9;

const seed = options["permutation-seed"];
const images = pixelSequences(
  await readMnist(folder, "test"),
  seed === undefined ? {} : { permutationSeed: Number(seed) },
);
const classifier = await Classifier.fromPretrained(name, { device: options.device, threads: Number(options.threads) });
const { model, device } = classifier;
const { classes, inputSize, dModel, nLayer } = model.config;

async function read(x) {
  const values = Float64Array.from(await x.read());
  x.dispose();
  return values;
}

const predictions = (logits) =>
  Array.from({ length: logits.length / classes }, (_, row) => {
    const own = logits.subarray(row * classes, (row + 1) * classes);
    return own.indexOf(Math.max(...own));
  });

async function stepped(steps, sequences) {
  let state = steps.initialState(sequences.length);
  for (let t = 0; t < sequences[0].rows; t++) {
    const samples = Float32Array.from({ length: sequences.length * inputSize }, (_, i) => {
      const row = Math.floor(i / inputSize);
      return sequences[row].values[t * inputSize + (i % inputSize)];
    });
    const x = tensor(samples, [sequences.length, inputSize], { device });
    const next = steps.step(x, state);
    x.dispose();
    state.dispose();
    state = next;
  }
  const logits = await read(steps.logits(state));
  state.dispose();
  return logits;
}

/** Both views of the same sequences. */
async function agreement(steps, rows, batch) {
  const seen = { rows, same: 0, right: 0, rightByConvolution: 0, largestDifference: 0 };
  for (let from = 0; from < rows; from += batch) {
    const indices = Array.from({ length: Math.min(batch, rows - from) }, (_, i) => from + i);
    const sequences = indices.map((index) => images.sequence(index));
    const all = Float32Array.from(sequences.flatMap(({ values }) => [...values]));
    const x = tensor(all, [sequences.length, sequences[0].rows, inputSize], { device });
    const convolved = await read(model.forward(x));
    x.dispose();
    const logits = await stepped(steps, sequences);
    logits.forEach((logit, i) => {
      seen.largestDifference = Math.max(seen.largestDifference, Math.abs(logit - convolved[i]));
    });
    const [chosen, expected] = [predictions(logits), predictions(convolved)];
    chosen.forEach((choice, i) => {
      seen.same += choice === expected[i] ? 1 : 0;
      seen.right += choice === images.labels[indices[i]] ? 1 : 0;
      seen.rightByConvolution += expected[i] === images.labels[indices[i]] ? 1 : 0;
    });
  }
  return seen;
}

/** Microseconds a step of one row, and bytes of its state, around each position. */
async function growth(steps, positions) {
  const x = tensor(new Float32Array(inputSize).fill(0.5), [1, inputSize], { device });
  let state = steps.initialState(1);
  const block = async () => {
    const start = performance.now();
    for (let i = 0; i < BLOCK; i++) {
      const next = steps.step(x, state);
      state.dispose();
      state = next;
    }
    await state.pooled.read();
    return (1000 * (performance.now() - start)) / BLOCK;
  };
  const rows = [];
  for (const position of positions) {
    while (state.position < position - BLOCK * BLOCKS) await block();
    const times = [];
    for (let i = 0; i < BLOCKS; i++) times.push(await block());
    rows.push({ position: state.position, microseconds: median(times), bytes: state.byteLength });
  }
  x.dispose();
  state.dispose();
  return rows;
}

const steps = await ClassifierRecurrence.of(model);
const agreed = await agreement(steps, Number(options.rows), Number(options.batch));
const positions = options.positions.split(",").map(Number);
const own = await growth(steps, positions);
const mixer = { kind: "attention", heads: Number(options.heads) };
const transformer = SequenceClassifier.create({ inputSize, classes, dModel, nLayer, mixer }, { device, seed: 0 });
const beside = await growth(await ClassifierRecurrence.of(transformer), positions);

console.log(`${name} on ${device.name}: ${nLayer} layers of ${dModel}, ${model.config.mixer.kind}`);
console.log(
  `${agreed.same} of ${agreed.rows} predictions are the same in both views (right: ${agreed.rightByConvolution} as a convolution, ${agreed.right} step by step); logits differ by at most ${agreed.largestDifference.toExponential(1)}`,
);
console.log("position   step      state       transformer's step   its cache");
own.forEach(({ position, microseconds, bytes }, i) => {
  const other = beside[i];
  console.log(
    `${String(position).padEnd(11)}${`${microseconds.toFixed(0)} us`.padEnd(10)}${`${bytes} B`.padEnd(12)}${`${other.microseconds.toFixed(0)} us`.padEnd(21)}${other.bytes} B`,
  );
});
const report = {
  ...machine(),
  device: device.name,
  threads: device.threads,
  config: model.config,
  agreed,
  own,
  beside,
};
if (options.out) writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
steps.dispose();
transformer.dispose();
classifier.dispose();
if (agreed.same < agreed.rows) process.exitCode = 1;
