// mamba-130m with random weights, one token after another.

import { DeviceSteps } from "mamba.ts/generation";
import { isProjection, MambaLM, mambaPreset, parameterType } from "mamba.ts/models";
import { cast } from "mamba.ts/ops";
import { flattenParameters, nestParameters, numberToFloat16, quantizedTensor, Random, tensor } from "mamba.ts/tensor";
import { printKernels, timeKernels, timeWall, uniform } from "./card.mjs";
import { ids, tiny } from "./model.mjs";
import { officialModel } from "./official.mjs";

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

/** A model whose weights are made on the card: drawing them as training wants them takes the host longer than all of this. */
export function randomModel(device, config) {
  const { dModel, dInner, dState, dConv, dtRank, paddedVocabSize } = config;
  const filled = (shape, value) =>
    tensor(
      Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, i) => value(i)),
      shape,
      { device },
    );
  const matrix = (rows, columns) => uniform(device, [rows, columns], -1 / Math.sqrt(columns), 1 / Math.sqrt(columns));
  const layer = () => ({
    norm: { weight: filled([dModel], () => 1) },
    mixer: {
      inProj: { weight: matrix(2 * dInner, dModel) },
      conv: { weight: matrix(dInner, dConv), bias: uniform(device, [dInner], -0.5, 0.5) },
      xProj: { weight: matrix(dtRank + 2 * dState, dInner) },
      dtProj: { weight: matrix(dInner, dtRank), bias: uniform(device, [dInner], -6, -2) },
      A_log: filled([dInner, dState], (i) => Math.log(1 + (i % dState))),
      D: filled([dInner], () => 1),
      outProj: { weight: matrix(dModel, dInner) },
    },
  });
  return new MambaLM(config, {
    backbone: {
      embedding: { weight: uniform(device, [paddedVocabSize, dModel], -0.03, 0.03) },
      layers: Object.fromEntries(Array.from({ length: config.nLayer }, (_, i) => [i, layer()])),
      normF: { weight: filled([dModel], () => 1) },
    },
  });
}

/** Random bytes and scales of a matrix in blocks, as large as those of {@link randomModel}. */
function randomBlocks(dtype, rows, columns, pool) {
  const count = dtype === "int8" ? rows * columns : (rows * columns) / 2;
  const bytes = pool.subarray(0, count);
  const scale = 1 / (Math.sqrt(columns) * (dtype === "int8" ? 127 : 8));
  const scales = new Uint16Array((rows * columns) / 32).fill(numberToFloat16(scale));
  return { dtype, rows, columns, scales, values: dtype === "int8" ? new Int8Array(bytes.buffer, 0, count) : bytes };
}

/** The same model with embedding and projections in another type; in int8 and int4 other random numbers. */
export function withWeights(model, dtype) {
  const { config, device } = model;
  const isBlocks = dtype === "int8" || dtype === "int4";
  const sizes = [...flattenParameters(model.parameters).values()].map(({ size }) => size);
  const random = new Random(9);
  const words = Uint32Array.from({ length: isBlocks ? 2 ** 16 : 0 }, () => random.word());
  const pool = new Uint8Array(isBlocks ? Math.max(...sizes) : 0);
  for (let at = 0; at < pool.length; at += 2 ** 18)
    pool.set(new Uint8Array(words.buffer).subarray(0, pool.length - at), at);
  const parameters = [...flattenParameters(model.parameters)].map(([name, one]) => {
    const own = isProjection(name) ? parameterType(name, one.shape[1], config, dtype) : "float32";
    if (own === "float32") return [name, one.alias()];
    if (own === "float16") return [name, cast(one, own)];
    return [name, quantizedTensor(randomBlocks(own, ...one.shape, pool), { device })];
  });
  return new MambaLM(config, nestParameters(parameters));
}

export async function decode(device, { quick, kernels, sampling, weights: types, batches }) {
  const whole = randomModel(device, quick ? tiny() : mambaPreset("mamba-130m"));
  const rows = [];
  for (const weights of types.split(",")) {
    const model = withWeights(whole, weights);
    device.matmulPrecision = weights === "float32" ? "float32" : "float16";
    for (const batch of batches.split(",").map(Number)) {
      rows.push(await decodeBatch(device, model, weights, batch, { quick, kernels, sampling }));
    }
    model.dispose();
  }
  whole.dispose();
  device.matmulPrecision = "float32";
  return rows;
}

const drawn = { temperature: 0.8, topK: 40, topP: 0.95, minP: 0, seed: 1 };

async function decodeBatch(device, model, weights, batch, { quick, kernels, sampling }) {
  const count = quick ? 2 * CHUNK : 16 * CHUNK;
  const prompt = ids(device, model.config, batch, 4);
  const { state, logits } = model.forward(prompt, { logits: "last" });
  for (const one of [prompt, logits]) one.dispose();
  const places = Array.from({ length: batch }, (_, stream) => ({ stream, counter: 0 }));
  const draws = sampling ? { options: drawn, places } : undefined;
  const steps = new DeviceSteps(model, device, state, new Int32Array(batch).fill(1), draws);
  const seconds = await timeWall(() => greedy(steps, count), quick ? 1 : 7, 1);
  const tokensPerSecond = (batch * count) / seconds;
  const start = performance.now();
  const pending = steps.run(CHUNK);
  const hostMicroseconds = (1000 * (performance.now() - start)) / CHUNK;
  await pending;
  const official = officialModel.decode[batch];
  console.log(
    `decode batch ${batch}, weights in ${weights}${sampling ? ", sampled" : ""}: ${tokensPerSecond.toFixed(0)} tokens/s, ${((1000 * seconds) / count).toFixed(3)} ms a step, ${hostMicroseconds.toFixed(0)} us of it to enqueue, official ${official ?? "not measured"}`,
  );
  if (kernels) printKernels((await timeKernels(device, () => greedy(steps, CHUNK), 1)).kernels, 20);
  steps.dispose();
  return { weights, batch, sampling, tokensPerSecond, hostMicroseconds };
}
