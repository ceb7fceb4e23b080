import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { MambaError } from "../../tensor/errors.ts";
import { type MeasuringProgram, startProgram } from "./program.ts";

const PACKAGE = "node-llama-cpp";

/** An installed llama.cpp. */
export interface Llama {
  readonly version: string;
  /** Starts it on a GGUF file. */
  start(file: string, threads: number): Promise<MeasuringProgram>;
}

function peerError(problem: string, facts: Record<string, unknown>, cause?: unknown): MambaError {
  return new MambaError(`bench: --peer llama ${problem}`, "PEER", facts, { cause });
}

/**
 * Finds node-llama-cpp in the `node_modules` of a folder or of one above it.
 *
 * @throws MambaError with code `PEER` if it is not there
 */
export function findLlama(folder: string): Llama {
  for (let at = folder; ; at = dirname(at)) {
    const root = join(at, "node_modules", PACKAGE);
    if (existsSync(join(root, "package.json"))) return llamaAt(root);
    if (dirname(at) === at) break;
  }
  throw peerError(`needs ${PACKAGE}; there is none in ${folder} or above; run npm install ${PACKAGE} there`, {
    folder,
  });
}

function llamaAt(root: string): Llama {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const module = pathToFileURL(join(root, "dist/index.js")).href;
  const program = fileURLToPath(new URL("./llama-peer.js", import.meta.url));
  return {
    version,
    async start(file, threads) {
      try {
        return await startProgram(process.execPath, [program, module, file, String(threads)]);
      } catch (cause) {
        const said = String((cause as Error).message)
          .split("\n")
          .slice(-6)
          .join(" ");
        throw peerError(`must load ${file}; ${PACKAGE} ${version} says ${said}`, { file, version }, cause);
      }
    },
  };
}
