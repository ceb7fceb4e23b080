import { valueAndGrad } from "../autograd/index.ts";
import { type TensorEntry, type TensorFile, toOwnName } from "../checkpoints/index.ts";
import type { MambaLM } from "../models/index.ts";
import { div } from "../ops/elementwise/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { Device } from "../tensor/device.ts";
import { convertArray, type TypedArray } from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { scope } from "../tensor/scope.ts";
import { tensor } from "../tensor/tensor.ts";

/** One quantity of a golden file, held against a model. */
export interface VerifiedQuantity {
  readonly name: string;
  /** How the error is measured. */
  readonly measure: "absolute" | "of largest" | "ids that differ";
  readonly error: number;
  readonly limit: number;
  readonly ok: boolean;
}

/** What a golden file holds and how a model compares. */
export interface Verification {
  readonly ok: boolean;
  readonly compared: readonly VerifiedQuantity[];
  /** Entries of the golden that were not compared, with the reason. */
  readonly notCompared: readonly { name: string; reason: string }[];
}

/** Limits of DESIGN section 4. */
export const verifyLimits = { logits: 1e-4, loss: 1e-5, gradient: 1e-4 } as const;

/**
 * Holds a language model against a golden file: `input_ids` and any of `logits`, `loss`, `grad.*`, `greedy_ids`.
 *
 * @param model - with unpacked weights, so that gradients exist
 * @param golden - see `docs/verify.md` for the format
 * @throws CheckpointError if the golden holds no `input_ids`
 */
export async function verifyLanguageModel(model: MambaLM, device: Device, golden: TensorFile): Promise<Verification> {
  const ids = golden.tensors.get("input_ids");
  if (ids?.shape.length !== 2) {
    throw new CheckpointError(
      `verify: the golden must hold input_ids [batch length]; it holds ${[...golden.tensors.keys()].slice(0, 5).join(", ") || "nothing"}; pass another file`,
      {},
    );
  }
  const compared: VerifiedQuantity[] = [];
  const notCompared: { name: string; reason: string }[] = [];
  const entry = (name: string): TensorEntry | undefined => golden.tensors.get(name);
  const input = await batchOf(ids);
  if (entry("logits")) compared.push(await compareLogits(model, device, input, entry("logits")!));
  const gradients = [...golden.tensors.values()].filter(({ name }) => name.startsWith("grad."));
  if (entry("loss") || gradients.length > 0) {
    compared.push(...(await compareTraining(model, device, input, entry("loss"), gradients, notCompared)));
  }
  if (entry("greedy_ids")) compared.push(await compareGreedy(model, device, entry("greedy_ids")!));
  for (const name of golden.tensors.keys()) {
    const known = /^(input_ids|logits|loss|greedy_ids|grad\..*)$/.test(name);
    if (!known) notCompared.push({ name, reason: "not a quantity of a language model" });
  }
  return { ok: compared.every(({ ok }) => ok), compared, notCompared };
}

interface Batch {
  readonly ids: Int32Array;
  readonly rows: number;
  readonly length: number;
}

async function batchOf(entry: TensorEntry): Promise<Batch> {
  const [rows, length] = entry.shape as [number, number];
  return { ids: Int32Array.from(await entry.read()), rows, length };
}

function quantity(name: string, measure: VerifiedQuantity["measure"], error: number, limit: number): VerifiedQuantity {
  return { name, measure, error, limit, ok: error <= limit };
}

async function compareLogits(
  model: MambaLM,
  device: Device,
  { ids, rows, length }: Batch,
  expected: TensorEntry,
): Promise<VerifiedQuantity> {
  const input = tensor(ids, [rows, length], { device });
  const { logits, state } = model.forward(input, { logits: "all" });
  state.dispose();
  const actual = await logits!.read();
  input.dispose();
  logits!.dispose();
  return quantity("logits", "absolute", largestDifference(actual, await floats(expected)), verifyLimits.logits);
}

async function compareTraining(
  model: MambaLM,
  device: Device,
  batch: Batch,
  loss: TensorEntry | undefined,
  gradients: readonly TensorEntry[],
  notCompared: { name: string; reason: string }[],
): Promise<VerifiedQuantity[]> {
  const { rows, length } = batch;
  const column = (shift: number): Int32Array =>
    Int32Array.from({ length: rows * (length - 1) }, (_, i) => {
      return batch.ids[Math.floor(i / (length - 1)) * length + shift + (i % (length - 1))]!;
    });
  const input = tensor(column(0), [rows, length - 1], { device });
  const target = tensor(column(1), [rows, length - 1], { device });
  const objective = () => {
    const { losses, valid } = model.losses(input, target);
    return div(sum(losses), sum(valid));
  };
  const result = gradients.length > 0 ? valueAndGrad(objective, model.parameters) : undefined;
  const value = result?.value ?? scope(objective);
  const compared: VerifiedQuantity[] = [];
  if (loss) {
    const expected = (await floats(loss))[0]!;
    compared.push(quantity("loss", "absolute", Math.abs((await value.item()) - expected), verifyLimits.loss));
  }
  const own = result ? flattenParameters(result.gradients) : new Map();
  for (const entry of gradients) {
    const name = toOwnName(entry.name.slice("grad.".length));
    const gradient = name && own.get(name);
    if (gradient) compared.push(compareGradient(entry.name, await gradient.read(), await floats(entry)));
    else notCompared.push({ name: entry.name, reason: "the model has no such parameter" });
  }
  for (const made of [input, target, value, ...own.values()]) made.dispose();
  return compared;
}

/** Rows of a padded vocabulary come last; the golden does not have them and their gradients must vanish. */
function compareGradient(name: string, actual: TypedArray, expected: TypedArray): VerifiedQuantity {
  const scale = largest(expected) || 1;
  const head = largestDifference(actual.subarray(0, expected.length), expected);
  const padding = largest(actual.subarray(expected.length));
  return quantity(name, "of largest", Math.max(head, padding) / scale, verifyLimits.gradient);
}

async function compareGreedy(model: MambaLM, device: Device, expected: TensorEntry): Promise<VerifiedQuantity> {
  const { ids, rows, length } = await batchOf(expected);
  const prompt = 8;
  let wrong = 0;
  for (let row = 0; row < rows; row++) {
    const wanted = ids.subarray(row * length, (row + 1) * length);
    const actual = await greedy(model, device, wanted.subarray(0, prompt), length - prompt);
    wrong += actual.filter((id, i) => id !== wanted[prompt + i]).length;
  }
  return quantity("greedy_ids", "ids that differ", wrong, 0);
}

async function greedy(model: MambaLM, device: Device, prompt: Int32Array, count: number): Promise<number[]> {
  const out: number[] = [];
  let next = prompt;
  let state: ReturnType<MambaLM["initialState"]> | undefined;
  while (out.length < count) {
    const input = tensor(next, [1, next.length], { device });
    const step = model.forward(input, state ? { state, consume: true } : {});
    input.dispose();
    const logits = await step.logits!.read();
    step.logits!.dispose();
    state = step.state;
    let best = 0;
    for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
    out.push(best);
    next = Int32Array.of(best);
  }
  state?.dispose();
  return out;
}

async function floats(entry: TensorEntry): Promise<TypedArray> {
  return convertArray(await entry.read(), entry.dtype, "float64");
}

function largest(values: TypedArray): number {
  let most = 0;
  for (const x of values) most = Math.max(most, Math.abs(x));
  return most;
}

function largestDifference(actual: TypedArray, expected: TypedArray): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= most)) most = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  return most;
}
