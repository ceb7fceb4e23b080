// Times prefill and decode of a Mamba language model with random weights.
//   node bench/language-model.mjs [--preset mamba-130m] [--threads 2] [--prompt 512] [--tokens 64] [--runs 5] [--json]
//   node bench/language-model.mjs --serve   answers `prefill N` and `decode N` on stdin (bench/paired.mjs)
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { MambaLM, mambaPreset, packParameters } from "mamba.ts/models";
import { openDevice, tensor } from "mamba.ts/tensor";
import { machine, median } from "./paired.mjs";

const { values: options } = parseArgs({
  options: {
    preset: { type: "string", default: "mamba-130m" },
    threads: { type: "string", default: "2" },
    prompt: { type: "string", default: "512" },
    tokens: { type: "string", default: "64" },
    runs: { type: "string", default: "5" },
    plain: { type: "boolean", default: false },
    serve: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const device = await openDevice("wasm", { threads: Number(options.threads), relaxedSimd: !options.plain });
const config = mambaPreset(options.preset);
const drawn = MambaLM.create(config, { device, seed: 1 });
const model = new MambaLM(config, packParameters(drawn.parameters, config));

async function run(ids, state) {
  const input = tensor(ids, [1, ids.length], { device });
  const result = model.forward(input, state ? { state, consume: true } : {});
  input.dispose();
  const logits = await result.logits.read();
  result.logits.dispose();
  return { logits, state: result.state };
}

const prompt = (length) => Int32Array.from({ length }, (_, i) => (i * 7919 + 13) % config.vocabSize);

async function prefill(length) {
  const ids = prompt(length);
  const start = performance.now();
  const { state } = await run(ids);
  const seconds = (performance.now() - start) / 1000;
  state.dispose();
  return seconds;
}

async function decode(count) {
  const ids = prompt(count);
  let { state } = await run(Int32Array.of(1));
  const start = performance.now();
  for (const id of ids) ({ state } = await run(Int32Array.of(id), state));
  const seconds = (performance.now() - start) / 1000;
  state.dispose();
  return seconds;
}

const measures = { prefill, decode };

if (options.serve) {
  console.log(JSON.stringify({ ready: true }));
  for await (const line of createInterface({ input: process.stdin })) {
    const [what, count] = line.split(" ");
    console.log(JSON.stringify({ seconds: await measures[what](Number(count)) }));
  }
} else {
  const counts = { prefill: Number(options.prompt), decode: Number(options.tokens) };
  const report = { ...machine(), preset: options.preset, threads: device.threads, features: [...device.features] };
  for (const [name, count] of Object.entries(counts)) {
    await measures[name](count);
    const seconds = [];
    for (let i = 0; i < Number(options.runs); i++) seconds.push(await measures[name](count));
    report[name] = { tokens: count, tokensPerSecond: count / median(seconds), seconds };
  }
  if (options.json) console.log(JSON.stringify(report));
  else {
    console.log(`${report.preset}, ${report.threads} threads, ${report.features.join(" ")}, ${report.cpu}`);
    for (const name of Object.keys(counts)) {
      console.log(
        `${name.padEnd(8)} ${report[name].tokens} tokens: ${report[name].tokensPerSecond.toFixed(1)} tokens/s`,
      );
    }
  }
}
device.dispose();
