// Weights in panels of 8 rows; src/tensor/weight-formats.ts says how their elements lie.
import { DOT } from "../../backends/wasm/assembly/control.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";

/** Types of weights, as src/ops/matmul/weight.ts numbers them. */
export const FLOAT32: i32 = 0;
export const FLOAT16: i32 = 1;
export const BFLOAT16: i32 = 2;
export const INT8: i32 = 3;
export const INT4: i32 = 4;

/**
 * Whether the engine adds products of four bytes, the second ones without a sign, exactly; found out by computing. Weights of int8 then
 * lie in fours of columns, each 128 more than it is, instead of in pairs.
 */
// @ts-ignore: decorator
@inline
export function hasFours(): bool {
  return ASC_FEATURE_RELAXED_SIMD && load<i32>(DOT) != 0;
}

/** Columns that share a scale. */
export const BLOCK: i32 = 32;
/** Bytes of 8 rows by 32 columns: values, then scales. */
export const INT8_VALUES: usize = 256;
export const INT8_BLOCK: usize = 272;
export const INT4_VALUES: usize = 128;
export const INT4_BLOCK: usize = 144;

// four times each, in memory: V8 makes literal vectors anew in every iteration
/** Sign, exponent and fraction of float16 bits that were widened with their sign and shifted by 13. */
export const FLOAT16_BITS: usize = memory.data<u32>([0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000]);
/** 2^112, the difference of the exponents' biases; the product makes denormals normal too. */
export const TO_FLOAT32: usize = memory.data<u32>([0x77800000, 0x77800000, 0x77800000, 0x77800000]);

/** Float32 of finite float16 bits. */
export function finiteFloat16(bits: i32): f32 {
  // the exponent's bias differs by 112; the product makes denormals normal too
  const magnitude = reinterpret<f32>((bits & 0x7fff) << 13) * <f32>5.192296858534828e33;
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

/** One row of a packed weight in float32. */
export function copyWeightRow(type: i32, weight: usize, row: i32, columns: i32, to: usize): void {
  const panel = <usize>(row >> 3);
  const lane = <usize>(row & 7);
  if (type == INT8 || type == INT4) {
    const bytes = type == INT8 ? INT8_BLOCK : INT4_BLOCK;
    let block = weight + panel * <usize>(columns / BLOCK) * bytes;
    for (let column = 0; column < columns; column += BLOCK) {
      if (type == INT8) copyInt8(block, lane, to);
      else copyInt4(block, lane, to);
      block += bytes;
      to += 4 * BLOCK;
    }
  } else if (type == FLOAT32) {
    const from = weight + (panel * <usize>columns << 5) + (lane << 2);
    for (let c: usize = 0; c < <usize>columns; c++) store<f32>(to + (c << 2), load<f32>(from + (c << 5)));
  } else {
    const from = weight + (panel * <usize>columns << 4) + (lane << 1);
    for (let c: usize = 0; c < <usize>columns; c++) {
      const bits = <i32>load<u16>(from + (c << 4));
      store<f32>(to + (c << 2), type == FLOAT16 ? finiteFloat16(bits) : reinterpret<f32>(bits << 16));
    }
  }
}

function copyInt8(block: usize, lane: usize, to: usize): void {
  const scale = finiteFloat16(<i32>load<u16>(block + INT8_VALUES + (lane << 1)));
  if (hasFours()) {
    for (let k: usize = 0; k < <usize>BLOCK; k++) {
      const value = <i32>load<u8>(block + ((k >> 2) << 5) + (lane << 2) + (k & 3)) - 128;
      store<f32>(to + (k << 2), scale * <f32>value);
    }
    return;
  }
  for (let k: usize = 0; k < <usize>BLOCK; k++) {
    store<f32>(to + (k << 2), scale * <f32>load<i8>(block + ((k >> 1) << 4) + (lane << 1) + (k & 1)));
  }
}

function copyInt4(block: usize, lane: usize, to: usize): void {
  const scale = finiteFloat16(<i32>load<u16>(block + INT4_VALUES + (lane << 1)));
  for (let k: usize = 0; k < <usize>BLOCK; k++) {
    const pair = <i32>load<u8>(block + ((k >> 3) << 5) + (lane << 2) + (k & 3));
    store<f32>(to + (k << 2), scale * <f32>(((pair >> <i32>(k & 4)) & 15) - 8));
  }
}

/** A packed weight as dense rows in float32. Arguments: weight, to, columns, rows, type. */
export function unpackWeight(args: usize, thread: i32, threads: i32): void {
  const columns = load<i32>(args, 8);
  const rows = load<i32>(args, 12);
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    const to = <usize>load<u32>(args, 4) + (<usize>row * <usize>columns << 2);
    copyWeightRow(load<i32>(args, 16), load<u32>(args), row, columns, to);
  }
}
