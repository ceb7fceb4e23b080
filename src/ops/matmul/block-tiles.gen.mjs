// Prints the inner loops of products with int8 and int4 weights: tiles of a few rows of rounded activations by a few panels.
//
// Sums of a block of 32 columns are whole numbers, so their order does not matter; blocks are added up in float32 in their
// order, 12 blocks (384 columns) at a time, so that all of them give the same bits. One step an iteration, as in tiles.gen.mjs: a longer body
// makes V8 spill registers.

/**
 * Rows and panels of the tiles; one row takes four panels, so that enough sums and enough streams of weights are under way. With relaxed SIMD int4 is multiplied byte by byte; without it pairs of 16 bits, one row only.
 * Where the engine adds up four products of bytes in one step (`DOT`), both types have tiles of fours.
 */
const shapes = {
  Int8: [
    [4, 1],
    [3, 1],
    [2, 1],
    [1, 1],
    [1, 4],
  ],
  Int4Bytes: [
    [4, 1],
    [3, 1],
    [2, 1],
    [1, 1],
    [1, 4],
  ],
  Int4Pairs: [
    [1, 1],
    [1, 4],
  ],
  Int8Fours: [
    [4, 1],
    [3, 1],
    [2, 1],
    [1, 1],
    [1, 4],
  ],
  Int4Fours: [
    [4, 1],
    [3, 1],
    [2, 1],
    [1, 1],
    [1, 4],
  ],
};

const range = (n) => Array.from({ length: n }, (_, i) => i);
const lines = (items, text) => items.map(text).join("\n");

/** What differs: bytes of weights and of activations a block and row, and of both a step. */
const kinds = {
  Int8: { weights: 16, activations: 64, activationStep: 4, step: int8Step },
  Int4Pairs: { weights: 32, activations: 64, activationStep: 16, step: pairsStep },
  Int4Bytes: { weights: 32, activations: 32, activationStep: 8, step: bytesStep },
  Int8Fours: { weights: 32, activations: 32, activationStep: 4, step: int8FoursStep },
  Int4Fours: { weights: 32, activations: 32, activationStep: 8, step: int4FoursStep },
};

/** A pair of columns. */
function int8Step(rows, panels) {
  const vectors = range(2 * panels);
  const dot = (i, j) => `c${i}_${j} = i32x4.add(c${i}_${j}, i32x4.dot_i16x8_s(x${i}, w${j}));`;
  return `${lines(range(rows), (i) => `const x${i} = v128.load_splat<i32>(x, ${4 * i});`)}
      ${lines(
        vectors,
        (j) => `const w${j} = v128.load_ext<i8>(b${j >> 1}, ${(j & 1) * 8});
      ${lines(range(rows), (i) => dot(i, j))}`,
      )}`;
}

/** Eight columns: four pairs that lie two columns apart. */
function pairsStep(_, panels) {
  const pair = (v, q) => {
    const moved = q === 0 ? v : `i16x8.shr_u(${v}, ${4 * q})`;
    return q === 3 ? moved : `v128.and(${moved}, mask)`;
  };
  return `${lines(range(4), (q) => `const x${q} = v128.load_splat<i32>(x, ${4 * q});`)}
      ${lines(
        range(2 * panels),
        (j) => `const v${j} = v128.load(b${j >> 1}, ${(j & 1) * 16});
      ${lines(range(4), (q) => `c0_${j} = i32x4.add(c0_${j}, i32x4.dot_i16x8_s(x${q}, ${pair(`v${j}`, q)}));`)}`,
      )}`;
}

/** Eight columns: two times four bytes, in sums of 16 bits that 32 columns cannot overflow: 8 times 2 times 15 times 127. */
function bytesStep(rows, panels) {
  const dot = (i, j, x, w) => `c${i}_${j} = i16x8.add(c${i}_${j}, i16x8.relaxed_dot_i8x16_i7x16_s(${x}${i}, ${w}${j}));`;
  const load = (i) => `const low${i} = v128.load_splat<i32>(x, ${4 * i});
      const high${i} = v128.load_splat<i32>(x, ${4 * (rows + i)});`;
  return `${lines(range(rows), load)}
      ${lines(
        range(2 * panels),
        (j) => `const v${j} = v128.load(b${j >> 1}, ${(j & 1) * 16});
      const first${j} = v128.and(v${j}, mask);
      ${lines(range(rows), (i) => dot(i, j, "low", "first"))}
      const second${j} = v128.and(i16x8.shr_u(v${j}, 4), mask);
      ${lines(range(rows), (i) => dot(i, j, "high", "second"))}`,
      )}`;
}

const addFour = (i, j, x, w) => `c${i}_${j} = i32x4.relaxed_dot_i8x16_i7x16_add_s(${x}${i}, ${w}${j}, c${i}_${j});`;

/** Four columns of bytes that are 128 more than the weight. */
function int8FoursStep(rows, panels) {
  return `${lines(range(rows), (i) => `const x${i} = v128.load_splat<i32>(x, ${4 * i});`)}
      ${lines(
        range(2 * panels),
        (j) => `const w${j} = v128.load(b${j >> 1}, ${(j & 1) * 16});
      ${lines(range(rows), (i) => addFour(i, j, "x", "w"))}`,
      )}`;
}

/** Eight columns: two times four bytes that are 8 more than the weight. */
function int4FoursStep(rows, panels) {
  const load = (i) => `const low${i} = v128.load_splat<i32>(x, ${4 * i});
      const high${i} = v128.load_splat<i32>(x, ${4 * (rows + i)});`;
  return `${lines(range(rows), load)}
      ${lines(
        range(2 * panels),
        (j) => `const v${j} = v128.load(b${j >> 1}, ${(j & 1) * 16});
      const first${j} = v128.and(v${j}, mask);
      ${lines(range(rows), (i) => addFour(i, j, "low", "first"))}
      const second${j} = v128.and(i16x8.shr_u(v${j}, 4), mask);
      ${lines(range(rows), (i) => addFour(i, j, "high", "second"))}`,
      )}`;
}

function tile(kind, rows, panels) {
  const { weights, activations, activationStep, step } = kinds[kind];
  const vectors = range(2 * panels);
  const each = (text) => lines(range(rows), (i) => lines(vectors, (j) => text(i, j)));
  const isInt4 = kind.startsWith("Int4");
  const hasWords = kind === "Int8" || kind === "Int4Pairs";
  const correction = (i) => `v128.load_splat<i32>(a, ${4 * (rows + i)})`;
  const starts = {
    Int4Pairs: correction,
    Int4Fours: correction,
    Int8Fours: (i) => `i32x4.shl(${correction(i)}, 4)`,
  };
  const start = starts[kind] ?? (() => "i32x4.splat(0)");
  const widen = (i, j) => `c${i}_${j} = i32x4.add(${correction(i)}, i32x4.extadd_pairwise_i16x8_s(c${i}_${j}));`;
  const scale = (j) => {
    const bits = `v128.load_ext<i16>(b${j >> 1}, ${(j & 1) * 8})`;
    return `const s${j} = f32x4.mul(v128.and(i32x4.shl(${bits}, 13), kept), power);`;
  };
  const finish = (value) =>
    lines(
      range(rows),
      (i) => `${lines(vectors, (j) => `v128.store(y, ${value(i, j)}, ${16 * j});`)}
    y += yStride;`,
    );
  return `
export function tile${kind}_${rows}x${panels}(
  a: usize, b: usize, panelStride: usize, y: usize, yStride: usize, blocks: i32, bias: usize, add: bool,
): void {
  ${lines(range(panels), (p) => `let b${p} = b + ${p} * panelStride;`)}
  ${isInt4 ? `const mask = v128.load(${hasWords ? "NIBBLES_OF_WORDS" : "NIBBLES_OF_BYTES"});` : ""}
  const kept = v128.load(FLOAT16_BITS);
  const power = v128.load(TO_FLOAT32);
  ${each((i, j) => `let f${i}_${j} = f32x4.splat(0);`)}
  do {
    ${each((i, j) => `let c${i}_${j} = ${start(i)};`)}
    let x = a + ${8 * rows};
    const end = x + ${activations * rows};
    do {
      ${step(rows, panels)}
      x += ${activationStep * rows};
      ${lines(range(panels), (p) => `b${p} += ${weights};`)}
    } while (x < end);
    ${kind === "Int4Bytes" ? each(widen) : ""}
    ${lines(vectors, scale)}
    ${lines(range(panels), (p) => `b${p} += 16;`)}
    ${lines(range(rows), (i) => `const d${i} = v128.load_splat<f32>(a, ${4 * i});`)}
    ${each((i, j) => `f${i}_${j} = madd(f32x4.convert_i32x4_s(c${i}_${j}), f32x4.mul(d${i}, s${j}), f${i}_${j});`)}
    a = x;
  } while (--blocks > 0);
  if (add) {
    ${finish((i, j) => `f32x4.add(v128.load(y, ${16 * j}), f${i}_${j})`)}
  } else if (bias != 0) {
    ${lines(vectors, (j) => `const bias${j} = v128.load(bias, ${16 * j});`)}
    ${finish((i, j) => `f32x4.add(bias${j}, f${i}_${j})`)}
  } else {
    ${finish((i, j) => `f${i}_${j}`)}
  }
}
`;
}

const repeated = (word) => `memory.data<u32>([${range(4).map(() => word).join(", ")}])`;

/** AssemblyScript of all tiles. */
export function generate() {
  const tiles = Object.entries(shapes).flatMap(([kind, sizes]) => sizes.map(([r, p]) => tile(kind, r, p)));
  return `import { madd } from "../../backends/wasm/assembly/simd.as";
import { FLOAT16_BITS, TO_FLOAT32 } from "./weights.as";
// constants come from memory: V8 makes literal vectors anew in every iteration
const NIBBLES_OF_WORDS: usize = ${repeated("0x000f000f")};
const NIBBLES_OF_BYTES: usize = ${repeated("0x0f0f0f0f")};
${tiles.join("")}`;
}
