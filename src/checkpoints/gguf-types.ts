import type { DType, TypedArray } from "../tensor/dtype.ts";
import { BLOCK, dequantizeMatrix, type QuantizedType } from "../tensor/quantize.ts";
import { dequantizeQ4K, dequantizeQ5, dequantizeQ6K } from "./gguf-dequantize.ts";
import { blockBytes, decodeBlocks } from "./quantize.ts";

/** Element types of GGUF files that can be read. */
export type GgufType = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0" | "Q5_0" | "Q4_K" | "Q6_K";

/** How a type lies in a file and what it becomes in memory. */
export interface GgufTypeFacts {
  /** Its number in the file. */
  readonly id: number;
  /** Elements of a block, which lie in one row; 1 where there are no blocks. */
  readonly block: number;
  /** Bytes of a block. */
  readonly bytes: number;
  readonly dtype: DType;
  /** Turns whole blocks, which begin their buffer, into elements. */
  readonly decode: (bytes: Uint8Array<ArrayBuffer>) => TypedArray;
}

/** Every type that can be read. Blocks become float32. */
export const ggufTypes: Readonly<Record<GgufType, GgufTypeFacts>> = {
  F32: { id: 0, block: 1, bytes: 4, dtype: "float32", decode: ({ buffer }) => new Float32Array(buffer) },
  F16: { id: 1, block: 1, bytes: 2, dtype: "float16", decode: ({ buffer }) => new Uint16Array(buffer) },
  BF16: { id: 30, block: 1, bytes: 2, dtype: "bfloat16", decode: ({ buffer }) => new Uint16Array(buffer) },
  Q8_0: { id: 8, block: BLOCK, bytes: blockBytes("int8"), dtype: "float32", decode: dequantizer("int8") },
  Q4_0: { id: 2, block: BLOCK, bytes: blockBytes("int4"), dtype: "float32", decode: dequantizer("int4") },
  Q5_0: { id: 6, block: 32, bytes: 22, dtype: "float32", decode: dequantizeQ5 },
  Q4_K: { id: 12, block: 256, bytes: 144, dtype: "float32", decode: dequantizeQ4K },
  Q6_K: { id: 14, block: 256, bytes: 210, dtype: "float32", decode: dequantizeQ6K },
};

/** Our formats by GGUF's names. */
export const quantizedTypes: Readonly<Partial<Record<string, QuantizedType>>> = { Q8_0: "int8", Q4_0: "int4" };

/** Types that exist but cannot be read, for messages. */
const otherTypes: Readonly<Record<number, string>> = {
  3: "Q4_1",
  7: "Q5_1",
  9: "Q8_1",
  10: "Q2_K",
  11: "Q3_K",
  13: "Q5_K",
  15: "Q8_K",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  20: "IQ4_NL",
  21: "IQ3_S",
  22: "IQ2_S",
  23: "IQ4_XS",
  24: "I8",
  25: "I16",
  26: "I32",
  27: "I64",
  28: "F64",
  29: "IQ1_M",
  34: "TQ1_0",
  35: "TQ2_0",
  39: "MXFP4",
};

const byId = new Map(Object.entries(ggufTypes).map(([name, { id }]) => [id, name as GgufType]));

/** The type with a number from a file; undefined if it cannot be read. */
export function ggufTypeOf(id: number): GgufType | undefined {
  return byId.get(id);
}

/** What a number from a file means, in words. */
export function describeGgufType(id: number): string {
  return otherTypes[id] ?? `type ${id}`;
}

function dequantizer(dtype: QuantizedType): (bytes: Uint8Array<ArrayBuffer>) => Float32Array<ArrayBuffer> {
  return (bytes) => dequantizeMatrix(decodeBlocks(bytes, bytes.length / blockBytes(dtype), BLOCK, dtype));
}
