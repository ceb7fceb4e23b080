// mamba-130m with random weights: a training step, a prompt, one token after another.

import { GreedySteps } from "mamba.ts/generation";
import { isProjection, MambaLM, mambaConfig, mambaPreset } from "mamba.ts/models";
import { cast, div, sum } from "mamba.ts/ops";
import { flattenParameters, nestParameters, Random, tensor } from "mamba.ts/tensor";
import { adamW, readStep, trainStep } from "mamba.ts/training";
import { printKernels, timeKernels, timeWall } from "./card.mjs";
import { officialModel } from "./official.mjs";

const tiny = () => mambaConfig({ vocabSize: 64, dModel: 32, nLayer: 2 });

function ids(device, config, batch, length) {
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

/** Steps that are enqueued before the ids of the first are read. */
const CHUNK = 16;

/** Greedy tokens, the ids of one chunk being read while the next is computed. */
async function greedy(steps, count) {
  let pending = steps.run(CHUNK);
  for (let done = CHUNK; done < count; done += CHUNK) {
    const next = steps.run(CHUNK);
    await pending;
    pending = next;
  }
  await pending;
}

/** The model with embedding and projections in float16. */
function halved(model) {
  const parameters = [...flattenParameters(model.parameters)].map(([name, one]) => [
    name,
    isProjection(name) ? cast(one, "float16") : one.alias(),
  ]);
  return new MambaLM(model.config, nestParameters(parameters));
}

export async function decode(device, { quick, kernels }) {
  const config = quick ? tiny() : mambaPreset("mamba-130m");
  const rows = [];
  for (const weights of ["float32", "float16"]) {
    const whole = MambaLM.create(config, { device, seed: 1 });
    const model = weights === "float16" ? halved(whole) : whole;
    if (model !== whole) whole.dispose();
    device.matmulPrecision = weights;
    for (const batch of [1, 64]) rows.push(await decodeBatch(device, model, weights, batch, { quick, kernels }));
    model.dispose();
  }
  device.matmulPrecision = "float32";
  return rows;
}

async function decodeBatch(device, model, weights, batch, { quick, kernels }) {
  const count = quick ? 2 * CHUNK : 16 * CHUNK;
  const prompt = ids(device, model.config, batch, 4);
  const { state, logits } = model.forward(prompt, { logits: "last" });
  for (const one of [prompt, logits]) one.dispose();
  const steps = new GreedySteps(model, device, state, new Int32Array(batch).fill(1));
  const seconds = await timeWall(() => greedy(steps, count), quick ? 1 : 7, 1);
  const tokensPerSecond = (batch * count) / seconds;
  const official = officialModel.decode[batch];
  console.log(
    `decode batch ${batch}, weights in ${weights}: ${tokensPerSecond.toFixed(0)} tokens/s, ${((1000 * seconds) / count).toFixed(3)} ms a step, official ${official}`,
  );
  if (kernels) printKernels((await timeKernels(device, () => greedy(steps, CHUNK), 1)).kernels, 20);
  steps.dispose();
  return { weights, batch, tokensPerSecond };
}
