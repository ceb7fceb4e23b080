import { basename, extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError } from "../../tensor/errors.ts";
import { readFile } from "../read-file.ts";

/**
 * Reads a training configuration, unchecked: JSON, or the default export of a module.
 *
 * @throws ConfigError if it cannot be parsed or exports nothing
 * @throws MambaError with code `FILE` if there is no such file
 */
export async function readConfigFile(path: string): Promise<unknown> {
  const bytes = await readFile(path);
  if (/\.(?:ts|mts|js|mjs)$/.test(path)) return importDefault(path);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`${path}: must be JSON; ${problem}; correct it, or name a module .mjs`, { path }, { cause });
  }
}

async function importDefault(path: string): Promise<unknown> {
  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as { default?: unknown };
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    const advice = path.endsWith("ts") ? "; Node from 22.18 runs TypeScript, older ones need .mjs" : "; correct it";
    throw new ConfigError(`${path}: must be a module that runs; ${problem}${advice}`, { path }, { cause });
  }
  if (module.default !== undefined) return module.default;
  throw new ConfigError(`${path}: must export the configuration as default; it has no default export; add it`, {
    path,
  });
}

/** Where a run goes that names no folder: `runs/` and the name of its configuration. */
export function defaultRunFolder(configPath: string): string {
  return `runs/${basename(configPath, extname(configPath))}`;
}
