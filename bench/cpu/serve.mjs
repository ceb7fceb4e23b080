// Ours behind the lines of src/cli/bench/program.ts: --file FILE.gguf or --model SHAPE, --dtype, --threads, --plain.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { ModelMeasures } from "../../dist/cli/bench/measures.js";
import { randomEntries } from "../../dist/cli/bench/random-entries.js";
import { mambaPreset } from "../../dist/models/index.js";
import { openDevice } from "../../dist/ops/devices.js";
import { findModelFiles } from "../../dist/pretrained/index.js";
import { loadEntries, loadMamba } from "../../dist/pretrained/load-mamba.js";

const { values: options } = parseArgs({
  options: {
    file: { type: "string" },
    model: { type: "string", default: "mamba-130m" },
    dtype: { type: "string" },
    threads: { type: "string", default: "2" },
    plain: { type: "boolean", default: false },
  },
});

const device = await openDevice("wasm", { threads: Number(options.threads), relaxedSimd: !options.plain });
const { dtype } = options;
const started = performance.now();
const config = mambaPreset(options.model);
const { model } = options.file
  ? await loadMamba(await findModelFiles(options.file), { device, dtype })
  : await loadEntries(randomEntries(config), config, { device, dtype }, options.model);
const measures = new ModelMeasures(model);
const { used, peak } = device.memory();
const ready = { features: [...device.features], node: process.version, weightBytes: used, peakBytes: peak };
console.log(JSON.stringify({ ready: true, ...ready, loadSeconds: (performance.now() - started) / 1000 }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify({ seconds: await measures.measure(line) }));
}
device.dispose();
