// The selective scan over a million steps against float64: outputs, last state and all gradients, where the state
// decays slowly. Error is the largest difference over the largest absolute value.
//   node bench/scan-long.mjs [--length 1048576] [--threads 2] [--json]
import { parseArgs } from "node:util";
import { valueAndGrad } from "mamba.ts/autograd";
import { mul, selectiveScan, sum } from "mamba.ts/ops";
import { openDevice, Random, tensor } from "mamba.ts/tensor";

const { values: options } = parseArgs({
  options: {
    length: { type: "string", default: "1048576" },
    threads: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
  },
});
const length = Number(options.length);
const channels = 2;
const states = 2;
const LIMIT = 1e-4;

/** Inputs with delta A at -rate everywhere, or random between 0 and -1 in each step. */
function inputs(rate) {
  const random = new Random(1);
  const rows = (width, draw) => Float32Array.from({ length: length * width }, draw);
  const normal = (width) => Float32Array.from(random.normals(length * width));
  return {
    u: normal(channels),
    delta: rate ? rows(channels, () => 1) : rows(channels, () => random.uniform()),
    A: new Float32Array(channels * states).fill(rate ? -rate : -1),
    B: normal(states),
    C: normal(states),
    weights: normal(channels),
  };
}

const shapes = {
  u: [1, length, channels],
  delta: [1, length, channels],
  A: [channels, states],
  B: [1, length, states],
  C: [1, length, states],
};

async function evaluate(device, values) {
  const put = (name, shape) =>
    tensor(values[name], shape, { device, ...(device.name === "reference" ? { dtype: "float64" } : {}) });
  const parameters = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, put(name, shape)]));
  const weights = put("weights", shapes.u);
  let y;
  let finalState;
  const started = performance.now();
  const { value, gradients } = valueAndGrad((p) => {
    const out = selectiveScan(p.u, p.delta, p.A, p.B, p.C);
    y = out.y.alias();
    finalState = out.finalState.alias();
    return sum(mul(out.y, weights));
  }, parameters);
  const read = { y: await y.read(), finalState: await finalState.read() };
  for (const [name, gradient] of Object.entries(gradients)) read[`d${name}`] = await gradient.read();
  const seconds = (performance.now() - started) / 1000;
  for (const made of [value, y, finalState, weights, ...Object.values(parameters), ...Object.values(gradients)])
    made.dispose();
  return { read, seconds };
}

function errorOf(actual, expected) {
  let [most, scale] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    most = difference <= most ? most : difference;
    scale = Math.max(scale, Math.abs(expected[i]));
  }
  return most / scale;
}

const [reference, wasm] = [
  await openDevice("reference"),
  await openDevice("wasm", { threads: Number(options.threads) }),
];
const report = [];
for (const rate of [1e-3, 1e-4, 5e-5, undefined]) {
  const values = inputs(rate);
  const expected = await evaluate(reference, values);
  const actual = await evaluate(wasm, values);
  const errors = {};
  for (const name of Object.keys(expected.read)) errors[name] = errorOf(actual.read[name], expected.read[name]);
  report.push({
    deltaA: rate ? -rate : "random",
    errors,
    seconds: actual.seconds,
    ok: Object.values(errors).every((error) => error <= LIMIT),
  });
}
if (options.json)
  console.log(JSON.stringify({ length, channels, states, limit: LIMIT, features: [...wasm.features], report }));
else {
  console.log(`selective scan, length ${length}, ${channels} channels, ${states} states, limit ${LIMIT}`);
  for (const { deltaA, errors, seconds, ok } of report) {
    const cells = Object.entries(errors).map(([name, error]) => `${name} ${error.toExponential(1)}`);
    console.log(
      `delta A ${String(deltaA).padEnd(7)} ${cells.join("  ")}  ${seconds.toFixed(2)} s  ${ok ? "ok" : "PAST THE LIMIT"}`,
    );
  }
}
wasm.dispose();
reference.dispose();
if (!report.every(({ ok }) => ok)) process.exitCode = 1;
