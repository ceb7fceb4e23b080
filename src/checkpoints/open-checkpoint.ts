import { CheckpointError } from "../tensor/errors.ts";
import { readGguf } from "./gguf.ts";
import { mambaEntries } from "./gguf-mamba.ts";
import { readSafetensors } from "./safetensors.ts";
import { readShardIndex, type ShardIndex } from "./shard-index.ts";
import type { FileSet } from "./source.ts";
import { excerpt, type TensorEntry, type TensorFile } from "./tensor-entry.ts";
import { headRepeatsEmbedding } from "./tied-head.ts";
import { readTorch } from "./torch.ts";

/** A model's open weights, from one file or several. */
export interface OpenCheckpoint {
  /** What error messages call it. */
  readonly name: string;
  /** The files that hold tensors. */
  readonly files: readonly string[];
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Whether the head is stored as a second copy of the embedding; undefined unless both are there. */
  readonly headRepeatsEmbedding: boolean | undefined;
  /** Lets go of all files; entries cannot be read afterwards. */
  close(): Promise<void>;
}

/** Where weights are looked for, best first. */
const usualNames = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
] as const;

/** Weights under any other name, in a set that holds no other weights. */
const weightsName = /\.(?:safetensors|bin|pt|pth|gguf)$/;
/** Outputs of a model, which may lie beside its weights. */
const goldenName = "golden.safetensors";

/**
 * Opens the weights in a set of files: `model.safetensors`, `pytorch_model.bin`, either in parts with an index, or the
 * only file there whose name ends with `.safetensors`, `.bin`, `.pt`, `.pth` or `.gguf`. Tensors are read one at a time, on
 * demand; those of a GGUF file of a Mamba-1 model have the names that Hugging Face's checkpoints use.
 *
 * @throws CheckpointError if there are no weights, or several and none has a usual name, listing what is there; or if the
 * weights are damaged or incomplete
 */
export async function openCheckpoint(files: FileSet): Promise<OpenCheckpoint> {
  const found = await findWeights(files);
  const opened = found.endsWith(".index.json") ? await openShards(files, found) : await openWhole(files, found);
  try {
    return { ...opened, headRepeatsEmbedding: await headRepeatsEmbedding(opened.entries) };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

type Opened = Omit<OpenCheckpoint, "headRepeatsEmbedding">;

/**
 * The name of the file that {@link openCheckpoint} opens.
 *
 * @throws CheckpointError if there are no weights, or several and none has a usual name
 */
export async function findWeights(files: FileSet): Promise<string> {
  for (const name of usualNames) if (await files.has(name)) return name;
  const listed = await files.list();
  const candidates = listed.filter((name) => weightsName.test(name) && name !== goldenName);
  if (candidates.length === 1) return candidates[0]!;
  const problem = candidates.length
    ? `it holds several: ${shorten(candidates)}; keep one, or name one ${usualNames[0]}`
    : `it holds ${shorten(listed) || "nothing that can be listed"}; put the weights there`;
  throw new CheckpointError(`${files.name}: must hold weights as ${usualNames.join(" or ")}; ${problem}`, {
    listed,
    candidates,
  });
}

function shorten(names: readonly string[]): string {
  return names.slice(0, 12).join(", ") + (names.length > 12 ? ` and ${names.length - 12} more` : "");
}

async function openWhole(files: FileSet, name: string): Promise<Opened> {
  const file = await openFile(files, name);
  const { tensors: entries, metadata } = file;
  return { name: `${files.name}: ${name}`, files: [name], entries, metadata, close: () => file.close() };
}

async function openFile(files: FileSet, name: string): Promise<TensorFile> {
  const source = await files.open(name);
  if (name.endsWith(".gguf")) {
    const file = await readGguf(source);
    return { ...file, tensors: mambaEntries(file) };
  }
  return name.endsWith(".safetensors") ? readSafetensors(source) : readTorch(source);
}

async function openShards(files: FileSet, indexName: string): Promise<Opened> {
  const index = await readShardIndex(files, indexName);
  const opened = new Map<string, TensorFile>();
  const close = async (): Promise<void> => {
    for (const file of opened.values()) await file.close();
  };
  try {
    for (const name of index.files) opened.set(name, await openFile(files, name));
    const name = `${files.name}: ${indexName}`;
    const metadata = Object.assign({}, ...[...opened.values()].map((file) => file.metadata)) as Record<string, string>;
    return { name, files: index.files, entries: gather(name, index, opened), metadata, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Takes every tensor from the file that the index names. */
function gather(
  where: string,
  { fileOf }: ShardIndex,
  opened: ReadonlyMap<string, TensorFile>,
): Map<string, TensorEntry> {
  const entries = new Map<string, TensorEntry>();
  const missing: string[] = [];
  for (const [tensor, file] of fileOf) {
    const entry = opened.get(file)?.tensors.get(tensor);
    if (entry) entries.set(tensor, entry);
    else missing.push(tensor);
  }
  if (!missing.length) return entries;
  const shown = missing.slice(0, 5).map((tensor) => `${excerpt(tensor)} in ${fileOf.get(tensor)}`);
  throw new CheckpointError(
    `${where}: files must hold the tensors that it says; ${missing.length} are missing: ${shown.join(", ")}; ` +
      "index and files do not belong together, fetch them again",
    { missing },
  );
}
