import { CheckpointError } from "../tensor/errors.ts";
import { PickleTuple, type PickleValue } from "./pickle-values.ts";
import { TorchTensor } from "./torch-values.ts";

/** The tensors of a pickled value under the names they go by, and the plain values beside them. */
export interface TorchTree {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Values nested deeper than this are not looked at. */
const deepest = 16;
/** Longer keys name no parameter; paths made of them would multiply a hostile file. */
const longestKey = 256;
/** Keys under which training programs keep the model's state, best first. */
const modelKeys = ["state_dict", "model_state_dict", "model"];

/**
 * Finds the tensors in what `torch.save` was given.
 *
 * - A dict of tensors: its keys are the names.
 * - Such a dict inside another (`{"state_dict": {...}, "acc": 98.8}`), if it is the only one or its key is one
 *   of `state_dict`, `model_state_dict`, `model`: its keys are the names.
 * - Anything else: the path to each tensor, with dots.
 *
 * Numbers, texts and flags outside the model's dict become metadata.
 *
 * @throws CheckpointError if there is no tensor, or two have the same name
 */
export function torchTree(where: string, root: PickleValue): TorchTree {
  const found: Found = { where, tensors: [], scalars: [], parents: new Map(), seen: new Set() };
  collect(root, [], found);
  if (!found.tensors.length) {
    throw new CheckpointError(
      `${where}: a weights file must hold tensors; there is none; check that it is the right file`,
    );
  }
  const prefix = modelPath(found);
  const tensors = new Map<string, TorchTensor>();
  for (const { path, tensor } of found.tensors) {
    if (!startsWith(path, prefix)) continue;
    const name = path.slice(prefix.length).join(".") || "tensor";
    if (tensors.has(name)) {
      throw new CheckpointError(`${where}: names must differ; "${name.slice(0, 200)}" comes twice; rename one`, {
        name,
      });
    }
    tensors.set(name, tensor);
  }
  const scalars = found.scalars.filter(({ path }) => !prefix.length || !startsWith(path, prefix));
  return { tensors, metadata: Object.fromEntries(scalars.map(({ path, text }) => [path.join("."), text])) };
}

interface Found {
  readonly where: string;
  readonly tensors: { path: readonly string[]; tensor: TorchTensor }[];
  readonly scalars: { path: readonly string[]; text: string }[];
  /** Paths of the containers that hold tensors themselves, by their dotted form. */
  readonly parents: Map<string, readonly string[]>;
  /** Containers already walked: the file may let them hold each other. */
  readonly seen: Set<PickleValue>;
}

function collect(value: PickleValue, path: readonly string[], found: Found): void {
  if (value instanceof TorchTensor) {
    found.tensors.push({ path, tensor: value });
    found.parents.set(path.slice(0, -1).join("."), path.slice(0, -1));
    return;
  }
  if (value instanceof Map || Array.isArray(value) || value instanceof PickleTuple) {
    if (path.length >= deepest || found.seen.has(value)) return;
    found.seen.add(value);
    for (const [key, item] of entriesOf(found.where, value)) collect(item, [...path, key], found);
  } else if (path.length && isScalar(value)) {
    found.scalars.push({ path, text: String(value) });
  }
}

function* entriesOf(where: string, value: PickleValue): Iterable<[string, PickleValue]> {
  if (value instanceof Map) {
    for (const [key, item] of value) {
      if (typeof key !== "string" && typeof key !== "number") continue;
      if (String(key).length > longestKey) {
        throw new CheckpointError(
          `${where}: names must have at most ${longestKey} characters; one has more; rename it`,
        );
      }
      yield [String(key), item];
    }
    return;
  }
  for (const [index, item] of (value instanceof PickleTuple ? value.items : (value as PickleValue[])).entries()) {
    yield [String(index), item];
  }
}

function isScalar(value: PickleValue): boolean {
  return ["number", "bigint", "boolean"].includes(typeof value) || (typeof value === "string" && value.length <= 1000);
}

/** Path of the dict that holds the model; empty if names must be whole paths. */
function modelPath({ parents }: Found): readonly string[] {
  const paths = [...parents.values()];
  if (paths.length === 1) return paths[0]!;
  for (const key of modelKeys) {
    const named = paths.filter((path) => path.length === 1 && path[0] === key);
    if (named.length === 1) return named[0]!;
  }
  return [];
}

function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return prefix.every((part, i) => path[i] === part);
}
