import { checkFileName } from "#platform";
import { CheckpointError } from "../tensor/errors.ts";
import { type FileSet, readJson } from "./source.ts";
import { excerpt } from "./tensor-entry.ts";

/** Which file of a checkpoint in parts holds which tensor. */
export interface ShardIndex {
  /** File by tensor name, in the order of the index. */
  readonly fileOf: ReadonlyMap<string, string>;
  /** Every file once. */
  readonly files: readonly string[];
}

/**
 * Reads `model.safetensors.index.json` or `pytorch_model.bin.index.json`: an object whose `weight_map` maps tensor names
 * to file names beside the index.
 *
 * @throws CheckpointError if it is anything else, or naming every file that is missing
 */
export async function readShardIndex(files: FileSet, name: string): Promise<ShardIndex> {
  const where = `${files.name}: ${name}`;
  const index = await readJson(files, name);
  const map: unknown = isRecord(index) && Object.hasOwn(index, "weight_map") ? index["weight_map"] : undefined;
  if (!isRecord(map) || !Object.keys(map).length) {
    const must = "weight_map must map tensor names to files";
    throw new CheckpointError(`${where}: ${must}; got ${excerpt(map)}; the file is damaged, fetch it again`, {});
  }
  const fileOf = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) fileOf.set(tensor, checkShardName(where, tensor, file));
  const shards = [...new Set(fileOf.values())];
  await checkPresence(files, where, shards);
  return { fileOf, files: shards };
}

function checkShardName(where: string, tensor: string, file: unknown): string {
  try {
    if (typeof file === "string") {
      checkFileName(file);
      return file;
    }
  } catch {
    // said below, as for every other value that is no file name
  }
  throw new CheckpointError(
    `${where}: files must lie beside the index; tensor ${excerpt(tensor)} is in ${excerpt(file)}; do not trust this model`,
    { tensor, file },
  );
}

async function checkPresence(files: FileSet, where: string, shards: readonly string[]): Promise<void> {
  const missing: string[] = [];
  for (const shard of shards) if (!(await files.has(shard))) missing.push(shard);
  if (!missing.length) return;
  throw new CheckpointError(
    `${where}: the files it names must be there; missing ${missing.slice(0, 5).join(", ")}` +
      `${missing.length > 5 ? ` and ${missing.length - 5} more` : ""}; fetch them`,
    { missing },
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
