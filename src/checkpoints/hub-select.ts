import { HubError } from "../tensor/errors.ts";
import { checkFilePath } from "./hub-names.ts";

/**
 * Which files to pull: their names, a test of every name in the listing, or one GGUF file by its name or by the type of its weights,
 * as `Q8_0`.
 */
export type HubFilter = readonly string[] | ((path: string) => boolean) | { readonly gguf: string };

const METADATA = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
];

/** One file with all weights, or an index that names the files they are spread over; first form that exists wins. */
const WEIGHTS = [
  { whole: "model.safetensors", index: "model.safetensors.index.json" },
  { whole: "pytorch_model.bin", index: "pytorch_model.bin.index.json" },
];

/**
 * Chooses the files that a model needs, configuration first and weights last.
 *
 * Without a filter: `config.json`, tokenizer files where they exist, and the weights as safetensors;
 * PyTorch files only where there are no safetensors.
 *
 * @param readIndex - reads a file of the listing: the index of weights in several files
 * @throws HubError if a file that is needed isn't listed
 */
export async function selectFiles(
  id: string,
  listed: readonly string[],
  filter: HubFilter | undefined,
  readIndex: (path: string) => Promise<Uint8Array>,
): Promise<string[]> {
  if (typeof filter === "function") return listed.filter(filter);
  if (filter && "gguf" in filter) return [selectGguf(id, listed, filter.gguf)];
  if (filter) return requireListed(id, listed, filter, "files");
  const present = new Set(listed);
  const config = requireListed(id, listed, ["config.json"], "the model");
  return [...config, ...METADATA.filter((path) => present.has(path)), ...(await selectWeights(id, listed, readIndex))];
}

/**
 * The one GGUF file of that name, else the one whose name ends with the type, in upper or lower case.
 *
 * @throws HubError if there is none, or more than one
 */
export function selectGguf(id: string, listed: readonly string[], wanted: string): string {
  const files = listed.filter((path) => path.toLowerCase().endsWith(".gguf"));
  if (files.includes(wanted)) return wanted;
  const ending = new RegExp(`(?:^|[-._/])${wanted.replace(/[^\w]/g, "\\$&")}\\.gguf$`, "i");
  const found = files.filter((path) => ending.test(path));
  if (found.length === 1) return found[0]!;
  throw new HubError(
    `hub ${id}: "${wanted}" must name one GGUF file, or the type that one file's name ends with, as Q8_0; ` +
      `it names ${found.length ? found.join(", ") : "none"}; the model has ${files.slice(0, 20).join(", ") || "no GGUF file"}`,
    { id, wanted, files: files.slice(0, 100) },
  );
}

async function selectWeights(
  id: string,
  listed: readonly string[],
  readIndex: (path: string) => Promise<Uint8Array>,
): Promise<string[]> {
  for (const { whole, index } of WEIGHTS) {
    if (listed.includes(whole)) return [whole];
    if (!listed.includes(index)) continue;
    const shards = parseShards(id, index, await readIndex(index));
    return [index, ...requireListed(id, listed, shards, index)];
  }
  const names = WEIGHTS.flatMap(({ whole, index }) => [whole, index]).join(", ");
  throw new HubError(
    `hub ${id}: the weights must be one of ${names}; found ${listed.slice(0, 12).join(", ") || "no file"}; ` +
      "name the files to pull with the option files",
    { id, listed: listed.slice(0, 100) },
  );
}

function requireListed(id: string, listed: readonly string[], wanted: readonly string[], whose: string): string[] {
  const present = new Set(listed);
  const missing = wanted.filter((path) => !present.has(path));
  if (missing.length === 0) return [...new Set(wanted)];
  throw new HubError(
    `hub ${id}: ${whose} must exist in full; missing ${missing.slice(0, 5).join(", ")}` +
      `${missing.length > 5 ? ` and ${missing.length - 5} more` : ""}; check the name and the revision`,
    { id, missing },
  );
}

/** The files an index spreads the weights over: the values of `weight_map`, each once. */
function parseShards(id: string, index: string, bytes: Uint8Array): string[] {
  const where = `hub ${id}: ${index}`;
  const map = weightMap(bytes);
  if (!map) {
    throw new HubError(`${where}: weight_map must map tensors to files; it does not; do not trust this model`, { id });
  }
  const shards = [...new Set(Object.values(map))];
  return shards.map((path) => {
    checkFilePath(path, where);
    return path;
  });
}

function weightMap(bytes: Uint8Array): object | undefined {
  try {
    const map: unknown = JSON.parse(new TextDecoder().decode(bytes))?.weight_map;
    return typeof map === "object" && map !== null ? map : undefined;
  } catch {
    return undefined;
  }
}
