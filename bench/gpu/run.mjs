// Measures the WebGPU backend on a card; README.md beside this says how and what came out.
//   node bench/gpu/run.mjs [--only scan,lengths,products,training,curve,prefill,decode] [--kernels] [--unchecked] [--quick] [--out FILE]
//   of decode: [--weights float32,float16] [--batches 1,64] [--sampling]
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machine } from "../paired.mjs";
import { openCard } from "./card.mjs";
import { curve } from "./curve.mjs";
import { decode } from "./decode.mjs";
import { prefill, training } from "./model.mjs";
import { products } from "./products.mjs";
import { scanLengths, scanShapes } from "./scan.mjs";

const parts = { scan: scanShapes, lengths: scanLengths, products, training, curve, prefill, decode };
const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: Object.keys(parts).join() },
    kernels: { type: "boolean", default: false },
    unchecked: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    sampling: { type: "boolean", default: false },
    weights: { type: "string", default: "float32,float16" },
    batches: { type: "string", default: "1,64" },
    out: { type: "string" },
  },
});
const { device, gpu } = await openCard(options.unchecked);
const report = { ...machine(), card: device.description, features: [...device.features], unchecked: options.unchecked };
console.log(`${device.description}${options.unchecked ? ", unchecked" : ""}: ${report.features.join(" ")}`);
for (const name of options.only.split(",")) {
  try {
    report[name] = await parts[name](device, options);
  } catch (error) {
    report[name] = { error: error.message };
    console.error(`${name}: ${error.stack}`);
    process.exitCode = 1;
  }
}
if (options.out) writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
device.dispose();
if (gpu) process.exit();
