// The forty steps of PyTorch's training curve (test/fixtures/training-curve) on the card, in float32 and in mixed precision.
import { fileURLToPath } from "node:url";
import { readSafetensors } from "mamba.ts/checkpoints";
import { div, sum } from "mamba.ts/ops";
import { tensor } from "mamba.ts/tensor";
import { adamW, cosineSchedule, LossScaler, readStep, trainStep } from "mamba.ts/training";
// the folder has no tokenizer, which CausalLM asks for
import { openFolder } from "../../dist/platform/node.js";
import { loadMamba } from "../../dist/pretrained/index.js";

const folder = fileURLToPath(new URL("../../test/fixtures/training-curve", import.meta.url));

async function goldenCurve() {
  const golden = await readSafetensors(`${folder}/golden.safetensors`);
  const read = (name) => golden.tensors.get(name).read();
  const curve = {
    shape: golden.tensors.get("batches").shape,
    ids: await read("batches"),
    losses: await read("losses"),
  };
  await golden.close();
  return curve;
}

async function train(device, { shape: [steps, batch, length], ids }, precision) {
  const { model } = await loadMamba(await openFolder(folder), { device, pack: false });
  const optimizer = adamW({ betas: [0.9, 0.95], weightDecay: 0.1 });
  const schedule = cosineSchedule({ peak: 3e-3, warmup: 10, steps: 40, end: 3e-4 });
  const scaler = precision === "mixed" ? new LossScaler() : undefined;
  const losses = [];
  for (let step = 0; step < steps; step++) {
    const rows = (shift) =>
      Int32Array.from(
        { length: batch * (length - 1) },
        (_, i) => ids[(step * batch + Math.floor(i / (length - 1))) * length + shift + (i % (length - 1))],
      );
    const [input, target] = [0, 1].map((shift) => tensor(rows(shift), [batch, length - 1], { device }));
    const objective = () => {
      const out = model.losses(input, target);
      out.state.dispose();
      return div(sum(out.losses), sum(out.valid));
    };
    const settings = { optimizer, learningRate: schedule(step), clipNorm: 1, precision, lossScale: scaler?.scale };
    const { loss, gradNorm } = await readStep(trainStep(model.parameters, [objective], settings));
    if (!Number.isFinite(gradNorm)) optimizer.uncount();
    scaler?.update(!Number.isFinite(gradNorm));
    losses.push(loss);
    for (const made of [input, target]) made.dispose();
  }
  optimizer.dispose();
  model.dispose();
  return losses;
}

export async function curve(device, { quick }) {
  const golden = await goldenCurve();
  if (quick) golden.shape = [2, ...golden.shape.slice(1)];
  const runs = { float32: await train(device, golden, "float32") };
  if (device.matmulPrecisions.includes("float16")) runs.mixed = await train(device, golden, "mixed");
  const worst = (a, b) => a.reduce((most, x, i) => Math.max(most, Math.abs(x / b[i] - 1)), 0);
  console.log(`curve: float32 is within ${worst(runs.float32, golden.losses).toExponential(1)} of PyTorch's losses`);
  for (const [precision, losses] of Object.entries(runs)) {
    const points = losses.filter((_, i) => i % 5 === 4).map((loss) => loss.toFixed(4));
    console.log(`curve ${precision}: ${points.join(" ")}, last ${losses.at(-1).toFixed(5)}`);
  }
  if (runs.mixed)
    console.log(`curve: mixed is within ${(100 * worst(runs.mixed, runs.float32)).toFixed(3)} % of float32`);
  return runs;
}
