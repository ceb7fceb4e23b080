// The selective scan at the shapes that the official kernels were measured at, by length, and over a million steps.
import { valueAndGrad } from "mamba.ts/autograd";
import { cast, mul, selectiveScan, sum } from "mamba.ts/ops";
import { scope, tensor } from "mamba.ts/tensor";
import { printKernels, timeKernels, uniform } from "./card.mjs";
import { officialScan } from "./official.mjs";

const STATES = 16;
const own = ["selectiveScan", "selectiveScanBackward"];

function inputs(device, batch, length, channels) {
  const rows = [batch, length, channels];
  const A = Float32Array.from({ length: channels * STATES }, (_, i) => -(1 + (i % STATES)));
  return {
    u: uniform(device, rows),
    delta: uniform(device, rows),
    A: tensor(A, [channels, STATES], { device }),
    B: uniform(device, [batch, length, STATES]),
    C: uniform(device, [batch, length, STATES]),
    D: uniform(device, [channels]),
    z: uniform(device, rows),
    deltaBias: uniform(device, [channels], -6, -3),
  };
}

/** Inputs by step in float16, where those are asked for. */
function halved(p) {
  return scope(() => Object.fromEntries(["u", "delta", "B", "C", "z"].map((name) => [name, cast(p[name], "float16")])));
}

async function timeScan(device, batch, length, channels, runs, { gradients = true, half = false } = {}) {
  const full = inputs(device, batch, length, channels);
  const rows = half ? halved(full) : {};
  for (const name of Object.keys(rows)) full[name].dispose();
  const p = { ...full, ...rows };
  const weights = uniform(device, [batch, length, channels]);
  const run = ({ u, delta, A, B, C, ...rest }) => selectiveScan(u, delta, A, B, C, { ...rest, deltaSoftplus: true }).y;
  const forward = await timeKernels(device, () => scope(() => void run(p)), runs, own);
  const both =
    gradients &&
    (await timeKernels(
      device,
      () => {
        const { value, gradients: made } = valueAndGrad((given) => sum(mul(cast(run(given), "float32"), weights)), p);
        for (const one of [value, ...Object.values(made)]) one.dispose();
      },
      runs,
      own,
    ));
  for (const one of [...Object.values(p), weights]) one.dispose();
  return { forward, both };
}

export async function scanShapes(device, { quick, kernels }) {
  const rows = [];
  for (const key of quick ? ["1,256,64"] : Object.keys(officialScan)) {
    const row = { shape: key, official: officialScan[key] };
    for (const [suffix, half] of Object.entries({ "": false, Half: true })) {
      const found = await timeScan(device, ...key.split(",").map(Number), quick ? 1 : 15, { half });
      for (const [name, { milliseconds, kernels: own }] of Object.entries(found)) {
        row[name + suffix] = milliseconds;
        const official = officialScan[key]?.[name + suffix];
        const ratio = official ? `${(official / milliseconds).toFixed(2)} of official's speed` : "";
        const what = `${name === "both" ? "with gradients" : name}${half ? ", float16" : ""}`;
        console.log(`scan ${key}: ${what} ${milliseconds.toFixed(3)} ms ${ratio}`);
        if (kernels) printKernels(own);
      }
    }
    rows.push(row);
  }
  return rows;
}

/** Cost a step by length, at a constant number of channels. */
export async function scanLengths(device, { quick }) {
  const rows = [];
  for (let power = quick ? 8 : 11; power <= (quick ? 10 : 20); power++) {
    const { forward, both } = await timeScan(device, 1, 2 ** power, quick ? 16 : 256, quick ? 1 : 9);
    rows.push({ length: 2 ** power, forward: forward.milliseconds, both: both.milliseconds });
    const perStep = (milliseconds) => `${((1e6 * milliseconds) / 2 ** power).toFixed(2)} ns a step`;
    console.log(
      `scan 1,2^${power},256: forward ${forward.milliseconds.toFixed(3)} ms (${perStep(forward.milliseconds)}), with gradients ${both.milliseconds.toFixed(3)} ms (${perStep(both.milliseconds)})`,
    );
  }
  return rows;
}
