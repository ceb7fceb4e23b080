/**
 * Block formats of GGUF that are only read. Every product is exact in float64, so that each value is rounded to float32
 * once, as in ggml's float32 arithmetic.
 */
import { float16Values } from "../tensor/dtype.ts";

/** Elements of a block of the K formats. */
const SUPER_BLOCK = 256;

/**
 * Q5_0: blocks of 32; a float16 scale, 32 fifth bits, and 16 bytes with element j in the low half of byte j and element
 * j + 16 in its high half:  w = scale * (value - 16), value 0 to 31.
 */
export function dequantizeQ5(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const blocks = bytes.length / 22;
  const out = new Float32Array(blocks * 32);
  for (let block = 0; block < blocks; block++) {
    const at = block * 22;
    const scale = float16At(bytes, at);
    const fifth = bytes[at + 2]! | (bytes[at + 3]! << 8) | (bytes[at + 4]! << 16) | (bytes[at + 5]! << 24);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 6 + j]!;
      out[block * 32 + j] = scale * (((pair & 15) | (((fifth >>> j) & 1) << 4)) - 16);
      out[block * 32 + 16 + j] = scale * (((pair >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) - 16);
    }
  }
  return out;
}

/**
 * Q4_K: blocks of 256 in 8 groups of 32. Two float16 numbers d and m, 12 bytes with a 6-bit scale and a 6-bit minimum for
 * each group, and 128 bytes; groups 2i and 2i + 1 share 32 bytes, the even one in the low halves:
 *
 *     w = d * scale * value - m * minimum,  value 0 to 15
 */
export function dequantizeQ4K(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const blocks = bytes.length / 144;
  const out = new Float32Array(blocks * SUPER_BLOCK);
  for (let block = 0; block < blocks; block++) {
    const at = block * 144;
    const [d, m] = [float16At(bytes, at), float16At(bytes, at + 2)];
    for (let group = 0; group < 8; group++) {
      const [scale, minimum] = sixBitPair(bytes, at + 4, group);
      const values = at + 16 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      for (let j = 0; j < 32; j++) {
        const value = (bytes[values + j]! >> shift) & 15;
        out[block * SUPER_BLOCK + 32 * group + j] = d * scale * value - m * minimum;
      }
    }
  }
  return out;
}

/**
 * Scale and minimum of a group of Q4_K: those of groups 0 to 3 are the low 6 bits of bytes 0 to 3 and 4 to 7; those of
 * groups 4 to 7 have their low 4 bits in bytes 8 to 11 and their high 2 bits on top of the first ones.
 */
function sixBitPair(bytes: Uint8Array, at: number, group: number): [number, number] {
  if (group < 4) return [bytes[at + group]! & 63, bytes[at + 4 + group]! & 63];
  const low = bytes[at + 4 + group]!;
  const scale = (low & 15) | ((bytes[at + group - 4]! >> 6) << 4);
  return [scale, (low >> 4) | ((bytes[at + group]! >> 6) << 4)];
}

/**
 * Q6_K: blocks of 256 in 16 groups of 16. 128 bytes of low halves, 64 bytes of high pairs of bits, 16 signed scales and a
 * float16 d. In each half of 128 elements, element 32q + j has its low bits in byte 32(q mod 2) + j of the half's 64, in the
 * low half for q < 2, and its high bits in byte j of the half's 32, at bit 2q:
 *
 *     w = d * scale * (value - 32),  value 0 to 63
 */
export function dequantizeQ6K(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const blocks = bytes.length / 210;
  const out = new Float32Array(blocks * SUPER_BLOCK);
  for (let block = 0; block < blocks; block++) {
    const at = block * 210;
    const d = float16At(bytes, at + 208);
    for (let i = 0; i < SUPER_BLOCK; i++) {
      const [half, quarter, j] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = (bytes[at + 64 * half + 32 * (quarter & 1) + j]! >> (4 * (quarter >> 1))) & 15;
      const high = (bytes[at + 128 + 32 * half + j]! >> (2 * quarter)) & 3;
      const scale = (bytes[at + 192 + (i >> 4)]! << 24) >> 24;
      out[block * SUPER_BLOCK + i] = d * scale * ((low | (high << 4)) - 32);
    }
  }
  return out;
}

function float16At(bytes: Uint8Array, at: number): number {
  return float16Values()[bytes[at]! | (bytes[at + 1]! << 8)]!;
}
