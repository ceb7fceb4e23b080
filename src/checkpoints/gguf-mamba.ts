import {
  bfloat16ToNumber,
  convertArray,
  float16Values,
  numberToBfloat16,
  numberToFloat16,
  type TypedArray,
} from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";
import type { GgufFile } from "./gguf.ts";
import { fromGgufName } from "./gguf-names.ts";
import type { WritableGgufType } from "./gguf-write.ts";
import { toCheckpointName } from "./name-map.ts";
import type { TensorEntry } from "./tensor-entry.ts";

/**
 * The tensors of a GGUF file under the names of Hugging Face's checkpoints, A as A_log = log(-A). Tensors that llama.cpp's
 * Mamba-1 does not have keep their names.
 *
 * A is -exp(A_log) rounded to float32. Of the numbers whose A is the stored one, float16 and bfloat16 numbers are taken first:
 * they are what such a checkpoint had. Others come back to within a rounding, 6e-8 of A.
 */
export function mambaEntries({ name: file, tensors }: GgufFile): Map<string, TensorEntry> {
  const entries = new Map<string, TensorEntry>();
  for (const [name, entry] of tensors) {
    const own = fromGgufName(name);
    const target = own === undefined ? name : toCheckpointName(own);
    entries.set(target, own?.endsWith(".A_log") ? logarithmOf(file, entry) : entry);
  }
  return entries;
}

function logarithmOf(file: string, entry: TensorEntry): TensorEntry {
  const { name, shape, dtype, storedType, storedByteLength } = entry;
  const read = async (start?: number, end?: number): Promise<TypedArray> => {
    const values = convertArray(await entry.read(start, end), dtype, "float32") as Float32Array;
    for (let i = 0; i < values.length; i++) {
      // a state that neither grows nor fades has A = 0, whose logarithm is -Infinity and comes back as 0
      if (!(values[i]! <= 0)) {
        throw new CheckpointError(
          `${file}: tensor ${name}: A must not be positive; element ${(start ?? 0) + i} is ${values[i]}; the file is damaged`,
          { tensor: name, element: (start ?? 0) + i },
        );
      }
      values[i] = logarithm(-values[i]!);
    }
    return values;
  };
  const byteLength = 4 * shape.reduce((product, size) => product * size, 1);
  return { name, shape, dtype: "float32", storedType, storedByteLength, byteLength, read };
}

/** The logarithm of a float32 number: the shortest number that gives exactly it, if there is one in float16 or bfloat16. */
function logarithm(value: number): number {
  const exact = Math.log(value);
  const float16 = float16Values()[numberToFloat16(exact)]!;
  if (Math.fround(Math.exp(float16)) === value) return float16;
  const bfloat16 = bfloat16ToNumber(numberToBfloat16(exact));
  return Math.fround(Math.exp(bfloat16)) === value ? bfloat16 : exact;
}

/** What {@link ggufTypeFor} can be asked for. */
export type GgufPrecision = "float32" | "float16" | "bfloat16" | "int8" | "int4";

/**
 * The types of a file of each precision: of the large projections, of embedding and head, of the projection to delta, B and C,
 * and of the step sizes' projection. All else, which is small or changes the state directly, is F32: norms, convolution, A, D
 * and biases, as llama.cpp has it.
 */
const typeTable = {
  float32: { projection: "F32", embedding: "F32", selection: "F32", step: "F32" },
  float16: { projection: "F16", embedding: "F16", selection: "F16", step: "F16" },
  bfloat16: { projection: "BF16", embedding: "BF16", selection: "BF16", step: "BF16" },
  int8: { projection: "Q8_0", embedding: "Q8_0", selection: "Q8_0", step: "F16" },
  int4: { projection: "Q4_0", embedding: "Q8_0", selection: "Q8_0", step: "F16" },
} as const satisfies Record<GgufPrecision, Record<string, WritableGgufType>>;

const roles: readonly (readonly [RegExp, keyof (typeof typeTable)["float32"]])[] = [
  [/\.(?:inProj|outProj)\.weight$/, "projection"],
  [/^(?:backbone\.embedding|lmHead)\.weight$/, "embedding"],
  [/\.xProj\.weight$/, "selection"],
  [/\.dtProj\.weight$/, "step"],
];

/**
 * The type of a parameter of ours in a file of a precision. Rows that do not fall into blocks of 32 are F16 instead.
 *
 * @param columns - length of its rows
 */
export function ggufTypeFor(own: string, columns: number, precision: GgufPrecision): WritableGgufType {
  const role = roles.find(([pattern]) => pattern.test(own))?.[1];
  const type = role === undefined ? "F32" : typeTable[precision][role];
  const inBlocks = type === "Q8_0" || type === "Q4_0";
  return inBlocks && columns % 32 !== 0 ? "F16" : type;
}

/** llama.cpp's number of the mixture of types in a file. */
export const fileTypes: Readonly<Record<GgufPrecision, number>> = {
  float32: 0,
  float16: 1,
  bfloat16: 32,
  int8: 7,
  int4: 2,
};
