import { basename, dirname, extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError } from "../../tensor/errors.ts";
import { type CompleteTrainConfig, readTrainConfig } from "../../training/index.ts";
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

/**
 * Reads and checks a training configuration.
 *
 * @param changes - in place of what the file says
 * @throws ConfigError naming the first wrong value
 */
export async function openTrainConfig(
  path: string,
  changes: Readonly<Record<string, unknown>> = {},
): Promise<CompleteTrainConfig> {
  const given = await readConfigFile(path);
  // what is no record is refused as it came
  const config = readTrainConfig(typeof given === "object" && given !== null ? { ...given, ...changes } : given);
  return withPathsFrom(dirname(path), config);
}

/** Paths of data are relative to the file that names them. */
function withPathsFrom(folder: string, config: CompleteTrainConfig): CompleteTrainConfig {
  const { data } = config;
  if ("folder" in data) return { ...config, data: { ...data, folder: resolve(folder, data.folder) } };
  if (!("text" in data)) return config;
  const from = (paths: readonly string[]): string[] => paths.map((path) => resolve(folder, path));
  const { text, validationText } = data;
  const changed = { ...data, text: from(text), ...(validationText ? { validationText: from(validationText) } : {}) };
  return { ...config, data: changed };
}

/** Where a run goes that names no folder: `runs/` and the name of its configuration. */
export function defaultRunFolder(configPath: string): string {
  return `runs/${basename(configPath, extname(configPath))}`;
}
