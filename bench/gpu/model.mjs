// mamba-130m with random weights: a training step, a prompt.

import { MambaLM, mambaConfig, mambaPreset } from "mamba.ts/models";
import { div, sum } from "mamba.ts/ops";
import { Random, tensor } from "mamba.ts/tensor";
import { adamW, readStep, trainStep } from "mamba.ts/training";
import { printKernels, timeKernels, timeWall } from "./card.mjs";

export const tiny = () => mambaConfig({ vocabSize: 64, dModel: 32, nLayer: 2 });

export function ids(device, config, batch, length) {
  const random = new Random(2);
  const rows = Int32Array.from({ length: batch * length }, () => random.integer(config.vocabSize));
  return tensor(rows, [batch, length], { device });
}

/** What a step is measured at; the device tells the most memory so far, so what takes less comes first. */
const settings = [
  { precision: "mixed", recompute: "layer" },
  { precision: "mixed", recompute: "cheap" },
  { precision: "mixed", recompute: "none" },
  { precision: "float32", recompute: "none" },
];

export async function training(device, { quick, kernels, batch = 8, length = 2048 }) {
  const config = quick ? tiny() : mambaPreset("mamba-130m");
  if (quick) [batch, length] = [2, 32];
  const model = MambaLM.create(config, { device, seed: 1 });
  const optimizer = adamW();
  const given = ids(device, config, batch, length);
  const rows = [];
  for (const { precision, recompute } of settings) {
    if (precision === "mixed" && !device.matmulPrecisions.includes("float16")) continue;
    const objective = () => {
      const { losses, valid, state } = model.losses(given, given, { recompute });
      state.dispose();
      return div(sum(losses), sum(valid));
    };
    const lossScale = precision === "mixed" ? 1024 : 1;
    const options = { optimizer, learningRate: 1e-4, clipNorm: 1, precision, lossScale };
    const step = async () => (await readStep(trainStep(model.parameters, [objective], options))).loss;
    const seconds = await timeWall(step, quick ? 1 : 7);
    const { peak } = device.memory();
    const tokensPerSecond = (batch * length) / seconds;
    rows.push({ precision, recompute, batch, length, tokensPerSecond, peak, loss: await step() });
    console.log(
      `training ${batch} x ${length} ${precision}, recompute ${recompute}: ${(1000 * seconds).toFixed(1)} ms, ${tokensPerSecond.toFixed(0)} tokens/s, peak ${(peak / 1e9).toFixed(1)} GB, loss ${rows.at(-1).loss.toFixed(4)}`,
    );
    if (kernels && recompute === "none") printKernels((await timeKernels(device, step, 1)).kernels, 40);
  }
  for (const one of [given, optimizer, model]) one.dispose();
  return rows;
}

async function run(model, input, state) {
  const result = model.forward(input, state ? { state, consume: true } : { logits: "last" });
  input.dispose();
  const logits = await result.logits.read();
  result.logits.dispose();
  return { logits, state: result.state };
}

export async function prefill(device, { quick, kernels }) {
  const config = quick ? tiny() : mambaPreset("mamba-130m");
  const length = quick ? 32 : 2048;
  const model = MambaLM.create(config, { device, seed: 1 });
  const once = async () => (await run(model, ids(device, config, 1, length))).state.dispose();
  const rows = [];
  for (const precision of ["float32", "float16"]) {
    device.matmulPrecision = precision;
    const seconds = await timeWall(once, quick ? 1 : 15);
    rows.push({ precision, length, tokensPerSecond: length / seconds });
    console.log(
      `prefill 1 x ${length} ${precision}: ${(1000 * seconds).toFixed(2)} ms, ${(length / seconds).toFixed(0)} tokens/s`,
    );
    if (kernels) printKernels((await timeKernels(device, once, 1)).kernels, 20);
  }
  device.matmulPrecision = "float32";
  return rows;
}
