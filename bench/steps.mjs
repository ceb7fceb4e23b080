// A model's outputs over n tokens at once, as n steps, and in splits with carried state: they must be the same.
//   node bench/steps.mjs [--device wasm] [--json]
import { parseArgs } from "node:util";
import { MambaLM, mambaConfig } from "mamba.ts/models";
import { openDevice, Random, tensor } from "mamba.ts/tensor";

const { values: options } = parseArgs({
  options: { device: { type: "string", default: "wasm" }, json: { type: "boolean", default: false } },
});
const LIMIT = 1e-5;
const LENGTHS = [
  1, 2, 3, 4, 5, 7, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 511, 512, 513, 1000, 1024, 2047, 4096, 4097,
];
const device = await openDevice(options.device, { threads: 2 });
const config = mambaConfig({ vocabSize: 61, dModel: 32, nLayer: 2 });
const model = MambaLM.create(config, { device, seed: 7 });
const random = new Random(3);

/** All logits of ids in pieces that end at `cuts`. */
async function run(ids, cuts) {
  const logits = [];
  let state;
  let start = 0;
  for (const end of [...cuts, ids.length]) {
    const input = tensor(ids.slice(start, end), [1, end - start], { device });
    const result = model.forward(input, { logits: "all", ...(state ? { state, consume: true } : {}) });
    for (const logit of await result.logits.read()) logits.push(logit);
    result.logits.dispose();
    input.dispose();
    state = result.state;
    start = end;
  }
  const states = await Promise.all(state.tensors().map((part) => part.read()));
  state.dispose();
  return { logits, states };
}

function difference(a, b) {
  let most = 0;
  const compare = (x, y) =>
    x.forEach((value, i) => {
      const gap = Math.abs(value - y[i]);
      most = gap <= most ? most : gap;
    });
  compare(a.logits, b.logits);
  for (const [i, part] of a.states.entries()) compare(part, b.states[i]);
  return most;
}

const rows = [];
for (const length of LENGTHS) {
  const ids = Int32Array.from({ length }, () => random.integer(61));
  const whole = await run(ids, []);
  const steps = difference(
    await run(
      ids,
      Array.from({ length: length - 1 }, (_, i) => i + 1),
    ),
    whole,
  );
  const splits = [];
  for (const cuts of [[1], [length >> 1], [length - 1], [length >> 2, length >> 1, (3 * length) >> 2]]) {
    const own = [...new Set(cuts)].filter((cut) => cut > 0 && cut < length);
    splits.push(difference(await run(ids, own), whole));
  }
  rows.push({ length, steps, splits: Math.max(...splits) });
}
const ok = rows.every((row) => row.steps <= LIMIT && row.splits <= LIMIT);
if (options.json)
  console.log(JSON.stringify({ device: device.name, features: [...device.features], limit: LIMIT, ok, rows }));
else {
  console.log(`${device.name}: largest difference of logits and states from one forward pass, limit ${LIMIT}`);
  console.log("length  fold of steps  any split");
  for (const row of rows) {
    console.log(
      `${String(row.length).padStart(6)}  ${row.steps.toExponential(1).padStart(13)}  ${row.splits.toExponential(1).padStart(9)}`,
    );
  }
}
device.dispose();
if (!ok) process.exitCode = 1;
