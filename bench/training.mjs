// Training steps: tokens a second and peak memory by model size, with and without recompute; growth with length; and the
// fused scan beside one that is written as PyTorch code usually is, with all states in memory.
//   node bench/training.mjs [--threads 2] [--runs 3] [--only sizes|length|unfused] [--json]
import { parseArgs } from "node:util";
import { valueAndGrad } from "mamba.ts/autograd";
import { MambaLM, mambaConfig, mambaParameterCount, mambaPreset } from "mamba.ts/models";
import { add, concat, div, exp, mul, reshape, selectiveScan, slice, sum } from "mamba.ts/ops";
import { openDevice, Random, scope, tensor, zeros } from "mamba.ts/tensor";
import { adamW, trainStep } from "mamba.ts/training";
import { machine, median } from "./paired.mjs";

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    runs: { type: "string", default: "3" },
    only: { type: "string", default: "sizes,length,unfused" },
    json: { type: "boolean", default: false },
  },
});
const runs = Number(options.runs);
const MEBIBYTE = 2 ** 20;
const open = () => openDevice("wasm", { threads: Number(options.threads) });
const report = { ...machine(), threads: Number(options.threads) };
const print = (...cells) => options.json || console.log(cells.join("  "));

/** Seconds of a step and the most memory it held beyond parameters and optimizer. */
async function timeSteps(config, batch, length, recompute) {
  const device = await open();
  const model = MambaLM.create(config, { device, seed: 1 });
  const optimizer = adamW();
  const random = new Random(2);
  const rows = Int32Array.from({ length: batch * length }, () => random.integer(config.vocabSize));
  const ids = tensor(rows, [batch, length], { device });
  const step = async () => {
    const objective = () => {
      const { losses, valid, state } = model.losses(ids, ids, { recompute });
      state.dispose();
      return div(sum(losses), sum(valid));
    };
    const start = performance.now();
    const { loss, gradientNorm } = trainStep(model.parameters, [objective], {
      optimizer,
      learningRate: 1e-4,
      clipNorm: 1,
    });
    await loss.read();
    const seconds = (performance.now() - start) / 1000;
    loss.dispose();
    gradientNorm.dispose();
    return seconds;
  };
  await step();
  const held = device.memory().used;
  const times = [];
  for (let i = 0; i < runs; i++) times.push(await step());
  const peak = device.memory().peak;
  device.dispose();
  return { seconds: median(times), peak, working: peak - held };
}

async function sizes() {
  const shapes = [
    ["tiny", mambaConfig({ vocabSize: 256, dModel: 64, nLayer: 2 }), 8, 256],
    ["10M", mambaConfig({ vocabSize: 8192, dModel: 384, nLayer: 8 }), 4, 512],
    ["130M", mambaPreset("mamba-130m"), 1, 512],
  ];
  print("model  parameters  batch x length  recompute  tokens/s  peak MiB");
  report.sizes = [];
  for (const [name, config, batch, length] of shapes) {
    for (const recompute of [false, true]) {
      const { seconds, peak } = await timeSteps(config, batch, length, recompute);
      const row = {
        name,
        parameters: mambaParameterCount(config),
        batch,
        length,
        recompute,
        tokensPerSecond: (batch * length) / seconds,
        peak,
      };
      report.sizes.push(row);
      print(
        name.padEnd(5),
        String(row.parameters).padStart(11),
        `${batch} x ${length}`.padStart(14),
        String(recompute).padStart(9),
        row.tokensPerSecond.toFixed(0).padStart(9),
        (peak / MEBIBYTE).toFixed(0).padStart(9),
      );
    }
  }
}

async function lengths() {
  const config = mambaConfig({ vocabSize: 256, dModel: 64, nLayer: 2 });
  print("length  ms a step  microseconds a token  working MiB  bytes a token");
  report.lengths = [];
  for (let length = 512; length <= 65536; length *= 2) {
    const { seconds, working } = await timeSteps(config, 1, length, false);
    report.lengths.push({ length, seconds, working });
    print(
      String(length).padStart(6),
      (seconds * 1000).toFixed(1).padStart(9),
      ((seconds * 1e6) / length).toFixed(1).padStart(20),
      (working / MEBIBYTE).toFixed(1).padStart(11),
      (working / length).toFixed(0).padStart(13),
    );
  }
}

/** The recurrence out of plain ops: exp(delta A) and delta B u for all steps, then a loop that keeps every state. */
function unfusedScan(u, delta, A, B, C) {
  const [batch, length, channels] = u.shape;
  const states = A.shape[1];
  const wide = (x) => reshape(x, [batch, length, channels, 1]);
  const narrow = (x) => reshape(x, [batch, length, 1, states]);
  const decay = exp(mul(wide(delta), A));
  const input = mul(mul(wide(delta), narrow(B)), wide(u));
  let h = zeros([batch, 1, channels, states], { device: u.device });
  const all = [];
  for (let t = 0; t < length; t++) {
    const at = (x) => slice(x, { axis: 1, start: t, end: t + 1 });
    h = add(mul(at(decay), h), at(input));
    all.push(h);
  }
  return sum(mul(concat(all, 1), narrow(C)), -1);
}

async function unfused() {
  print("length  fused ms  fused MiB  unfused ms  unfused MiB  times as fast  times less memory");
  report.unfused = [];
  const [channels, states] = [256, 16];
  for (const length of [128, 512, 2048]) {
    const measured = {};
    for (const [name, scan] of [
      ["fused", (u, delta, A, B, C) => selectiveScan(u, delta, A, B, C).y],
      ["unfused", unfusedScan],
    ]) {
      const device = await open();
      const random = new Random(1);
      const normal = (shape, factor = 1) =>
        tensor(
          Float32Array.from(random.normals(shape.reduce((a, b) => a * b)), (x) => Math.abs(x) * factor),
          shape,
          { device },
        );
      const p = {
        u: normal([1, length, channels]),
        delta: normal([1, length, channels], 0.1),
        A: normal([channels, states], -1),
        B: normal([1, length, states]),
        C: normal([1, length, states]),
      };
      const step = async () => {
        const start = performance.now();
        const { value, gradients } = valueAndGrad(
          ({ u, delta, A, B, C }) => scope(() => sum(scan(u, delta, A, B, C))),
          p,
        );
        await value.read();
        for (const made of [value, ...Object.values(gradients)]) made.dispose();
        return performance.now() - start;
      };
      await step();
      const held = device.memory().used;
      const times = [];
      for (let i = 0; i < runs; i++) times.push(await step());
      measured[name] = { ms: median(times), working: device.memory().peak - held };
      device.dispose();
    }
    const { fused, unfused: plain } = measured;
    report.unfused.push({ length, channels, states, fused, unfused: plain });
    print(
      String(length).padStart(6),
      fused.ms.toFixed(1).padStart(8),
      (fused.working / MEBIBYTE).toFixed(1).padStart(9),
      plain.ms.toFixed(1).padStart(10),
      (plain.working / MEBIBYTE).toFixed(1).padStart(11),
      (plain.ms / fused.ms).toFixed(1).padStart(13),
      (plain.working / fused.working).toFixed(1).padStart(17),
    );
  }
}

const parts = { sizes, length: lengths, unfused };
for (const name of options.only.split(",")) await parts[name]();
if (options.json) console.log(JSON.stringify(report));
