// mamba-130m beside llama.cpp, every format, turn by turn: node bench/cpu/compare.mjs [--node PATH] [--formats float32,int8,int4]
//   [--threads 2] [--pairs 7] [--prompt 512] [--tokens 128] [--batch 1,2,4,8,16,32] [--json]
// Ours makes its weights of the float32 file, as `--dtype` does; llama.cpp's are what its quantizer makes of the same file.
import { parseArgs } from "node:util";
import { comparePairs, machine, median } from "../paired.mjs";
import { peerFile, peerName, preparePeer, startOurs, startPeer } from "./peer.mjs";

const { values: options } = parseArgs({
  options: {
    node: { type: "string", default: process.execPath },
    formats: { type: "string", default: "float32,int8,int4" },
    threads: { type: "string", default: "2" },
    pairs: { type: "string", default: "7" },
    prompt: { type: "string", default: "512" },
    tokens: { type: "string", default: "128" },
    batch: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});

await preparePeer();
const report = { ...machine(), peer: peerName, rows: [], batch: [], memory: [] };
for (const dtype of options.formats.split(",")) {
  for (const threads of options.threads.split(",")) {
    const ours = await startOurs(options.node, ["--file", peerFile("float32"), "--dtype", dtype, "--threads", threads]);
    report.node = ours.ready.node;
    report.features = ours.ready.features;
    const { weightBytes, peakBytes } = ours.ready;
    if (!report.memory.some((row) => row.dtype === dtype)) report.memory.push({ dtype, weightBytes, peakBytes });
    const theirs = await startPeer(dtype, threads);
    for (const [what, count] of [
      ["prefill", Number(options.prompt)],
      ["decode", Number(options.tokens)],
    ]) {
      const { a, b, speedup, interval } = await comparePairs(ours, theirs, `${what} ${count}`, Number(options.pairs));
      const row = { dtype, threads: Number(threads), what, count, mamba: count / a, llama: count / b };
      report.rows.push({ ...row, ratio: speedup, interval });
      if (!options.json) console.log(JSON.stringify(report.rows.at(-1)));
    }
    theirs.stop();
    for (const rows of options.batch.split(",").filter(Boolean).map(Number)) {
      const steps = Math.max(8, Math.round(64 / rows));
      await ours.measure(`batch ${rows} ${steps}`);
      const seconds = [];
      for (let i = 0; i < 3; i++) seconds.push(await ours.measure(`batch ${rows} ${steps}`));
      const row = { dtype, threads: Number(threads), rows, tokensPerSecond: (rows * steps) / median(seconds) };
      report.batch.push(row);
      if (!options.json) console.log(JSON.stringify(row));
    }
    ours.stop();
  }
}
if (options.json) console.log(JSON.stringify(report));
