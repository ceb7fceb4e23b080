import type { MambaConfig } from "../models/config.ts";
import { isFloat } from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { formatShape } from "../tensor/shape.ts";
import { mambaParameterShapes, toCheckpointName, toOwnName } from "./name-map.ts";
import type { OpenCheckpoint } from "./open-checkpoint.ts";
import { excerpt, type TensorEntry } from "./tensor-entry.ts";

/** A checkpoint's tensors under our names, and what they say about the configuration. */
export interface MatchedMamba {
  /** By parameter name, in the order of the model's records, with the shapes of our parameters. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
  /** Whether the head is the embedding. */
  readonly tied: boolean;
  /** What was odd but does no harm. */
  readonly warnings: readonly string[];
  /** The configuration given, with `paddedVocabSize` and `tieEmbeddings` as the weights have them. */
  readonly config: MambaConfig;
}

/** What is matched: an open checkpoint, or tensors from elsewhere. */
export type MatchInput = Pick<OpenCheckpoint, "name" | "entries"> & Partial<OpenCheckpoint>;

/**
 * Matches the tensors of a checkpoint in either dialect with the parameters of a model.
 *
 * The embedding may have more rows than `vocabSize`: they pad the vocabulary. A head that the configuration ties to the
 * embedding may be missing or a copy of it; one that differs counts, with a warning, as transformers does it.
 *
 * @throws CheckpointError naming every missing, unexpected, wrongly shaped or wrongly typed tensor at once
 */
export function matchMamba(file: MatchInput, given: MambaConfig): MatchedMamba {
  if (given.nLayer > file.entries.size) {
    throw new CheckpointError(
      `${file.name}: weights must have ${given.nLayer} layers, as the configuration says; there are only ` +
        `${file.entries.size} tensors; use the configuration that belongs to them`,
      { nLayer: given.nLayer, tensors: file.entries.size },
    );
  }
  const { named, unexpected } = nameEntries(file.entries);
  const warnings: string[] = [];
  const config = { ...given, tieEmbeddings: isTied(file, given, named, warnings) };
  config.paddedVocabSize = countRows(given, named, warnings);
  if (config.tieEmbeddings) named.delete("lmHead.weight");
  const shapes = mambaParameterShapes(config);
  const problems = findProblems(named, shapes, unexpected);
  if (problems.count) throw mismatch(file.name, problems);
  const entries = new Map<string, TensorEntry>();
  for (const [name, shape] of shapes) entries.set(name, { ...named.get(name)!, shape });
  return { entries, tied: config.tieEmbeddings, warnings, config };
}

function nameEntries(entries: ReadonlyMap<string, TensorEntry>): {
  named: Map<string, TensorEntry>;
  unexpected: string[];
} {
  const named = new Map<string, TensorEntry>();
  const unexpected: string[] = [];
  for (const [name, entry] of entries) {
    const own = toOwnName(name);
    // the embedding under the names of both dialects is one too many
    if (own === undefined || named.has(own)) unexpected.push(name);
    else named.set(own, entry);
  }
  return { named, unexpected };
}

function isTied(
  file: MatchInput,
  { tieEmbeddings }: MambaConfig,
  named: ReadonlyMap<string, TensorEntry>,
  warnings: string[],
): boolean {
  if (!tieEmbeddings || !named.has("lmHead.weight") || file.headRepeatsEmbedding !== false) return tieEmbeddings;
  warnings.push(
    `${file.name}: the configuration ties the head to the embedding, but lm_head.weight differs; the stored head is used`,
  );
  return false;
}

/** Rows of the embedding; as the configuration says where the file cannot tell. */
function countRows(
  { vocabSize, paddedVocabSize, dModel }: MambaConfig,
  named: ReadonlyMap<string, TensorEntry>,
  warnings: string[],
): number {
  const shape = named.get("backbone.embedding.weight")?.shape ?? [];
  const [rows, width] = shape;
  if (rows === undefined || shape.length !== 2 || width !== dModel || rows < vocabSize) return paddedVocabSize;
  if (rows !== paddedVocabSize) {
    warnings.push(`the embedding has ${rows} rows for ${vocabSize} ids; the rest pads the vocabulary and is masked`);
  }
  return rows;
}

interface Problems {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly wrong: readonly string[];
  readonly count: number;
}

function findProblems(
  named: ReadonlyMap<string, TensorEntry>,
  shapes: ReadonlyMap<string, readonly number[]>,
  unknown: readonly string[],
): Problems {
  const missing: string[] = [];
  const wrong: string[] = [];
  const unexpected = [...unknown];
  for (const [name, shape] of shapes) {
    const entry = named.get(name);
    if (!entry) missing.push(toCheckpointName(name));
    else if (!isFloat(entry.dtype)) wrong.push(`${entry.name} is ${entry.storedType}, not floating-point`);
    else if (!fits(name, entry.shape, shape)) {
      wrong.push(`${entry.name} is ${formatShape(entry.shape)}, not ${formatShape(storedShape(name, shape))}`);
    }
  }
  for (const [name, entry] of named) if (!shapes.has(name)) unexpected.push(entry.name);
  return { missing, unexpected, wrong, count: missing.length + unexpected.length + wrong.length };
}

/** A convolution is stored [dInner 1 dConv]; without the 1 it is the same numbers. */
function fits(name: string, actual: readonly number[], own: readonly number[]): boolean {
  return actual.join() === storedShape(name, own).join() || actual.join() === own.join();
}

function storedShape(name: string, own: readonly number[]): readonly number[] {
  return name.endsWith(".conv.weight") ? [own[0]!, 1, own[1]!] : own;
}

function mismatch(where: string, { missing, unexpected, wrong }: Problems): CheckpointError {
  const parts = [
    describe("missing", missing.map(excerpt)),
    describe("unexpected", unexpected.map(excerpt)),
    describe("wrong", wrong),
  ].filter(Boolean);
  return new CheckpointError(
    `${where}: tensors must be those of the configured model; ${parts.join("; ")}; ` +
      "use the configuration that belongs to these weights",
    { missing, unexpected, wrong },
  );
}

/** All names up to 50 of a kind; the error's facts hold the rest. */
function describe(kind: string, items: readonly string[]): string {
  if (!items.length) return "";
  const rest = items.length > 50 ? ` and ${items.length - 50} more` : "";
  return `${items.length} ${kind}: ${items.slice(0, 50).join(", ")}${rest}`;
}
