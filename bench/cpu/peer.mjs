// llama.cpp as it was built for node-llama-cpp, through its C interface (its best case), and files for it. See bench/llama/install.mjs.
import { execFileSync } from "node:child_process";
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { writeRandomGguf } from "../../dist/cli/bench/random-gguf.js";
import { mambaPreset } from "../../dist/models/index.js";
import { build, cache, install, libraries, VERSION } from "../llama/install.mjs";
import { startProgram } from "../paired.mjs";

export const peerName = `llama.cpp of node-llama-cpp ${VERSION}, C interface`;
/** Numbers of llama_model_quantize. */
const fileTypes = { float16: 1, int8: 7, int4: 2 };

let program;

/** Fetches, builds and writes what is missing. */
export async function preparePeer() {
  install();
  program = build("peer");
  const float32 = join(cache, "random-130m-float32.gguf");
  if (!existsSync(float32)) {
    await writeRandomGguf(`${float32}.part`, mambaPreset("mamba-130m"), "float32");
    renameSync(`${float32}.part`, float32);
  }
  const judge = build("judge");
  for (const [dtype, type] of Object.entries(fileTypes)) {
    if (existsSync(peerFile(dtype))) continue;
    const input = `quantize ${peerFile(dtype)} ${type}\n`;
    execFileSync(judge, [float32], { input, env: { ...process.env, LLAMA_LIBRARIES: libraries }, stdio: "pipe" });
  }
}

/** The random model as llama.cpp's own quantizer writes it. */
export function peerFile(dtype) {
  return join(cache, `random-130m-${dtype}.gguf`);
}

export function startPeer(dtype, threads) {
  return startProgram(program, [peerFile(dtype), String(threads)], { LLAMA_LIBRARIES: libraries });
}

/** Ours in a process of its own, under any Node. */
export function startOurs(node, options) {
  const file = new URL("./serve.mjs", import.meta.url).pathname;
  return startProgram(node, [file, ...options]);
}
