// Decoding while other processes are busy: node bench/cpu/under-load.mjs [--node PATH] [--format int8] [--threads 2] [--busy 0,1,2]
//   [--runs 5] [--tokens 48] [--peer-tokens 8] [--json]
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { machine, median } from "../paired.mjs";
import { peerFile, peerName, preparePeer, startOurs, startPeer } from "./peer.mjs";

const { values: options } = parseArgs({
  options: {
    node: { type: "string", default: process.execPath },
    format: { type: "string", default: "int8" },
    threads: { type: "string", default: "2" },
    busy: { type: "string", default: "0,1,2" },
    runs: { type: "string", default: "5" },
    tokens: { type: "string", default: "48" },
    "peer-tokens": { type: "string", default: "8" },
    json: { type: "boolean", default: false },
  },
});

await preparePeer();
const { format, threads } = options;
const ours = await startOurs(options.node, ["--file", peerFile("float32"), "--dtype", format, "--threads", threads]);
const theirs = await startPeer(format, threads);
const report = {
  ...machine(),
  node: ours.ready.node,
  peer: peerName,
  dtype: format,
  threads: Number(threads),
  rows: [],
};
for (const busy of options.busy.split(",").map(Number)) {
  const processes = Array.from({ length: busy }, () => spawn(process.execPath, ["-e", "for (;;);"]));
  // quiet runs are short: both may take as many tokens then
  const [own, other] = [Number(options.tokens), Number(busy === 0 ? options.tokens : options["peer-tokens"])];
  const seconds = { own: [], other: [] };
  await ours.measure(`decode ${own}`);
  await theirs.measure("decode 2");
  for (let i = 0; i < Number(options.runs); i++) {
    seconds.own.push(await ours.measure(`decode ${own}`));
    seconds.other.push(await theirs.measure(`decode ${other}`));
  }
  for (const one of processes) one.kill();
  const [mamba, llama] = [own / median(seconds.own), other / median(seconds.other)];
  const quiet = report.rows[0] ?? { mamba, llama };
  const kept = { mamba: mamba / quiet.mamba, llama: llama / quiet.llama };
  report.rows.push({ busy, mamba, llama, ratio: mamba / llama, kept });
  if (!options.json) console.log(JSON.stringify(report.rows.at(-1)));
}
ours.stop();
theirs.stop();
if (options.json) console.log(JSON.stringify(report));
