// Prints the inner loops of matrix products: tiles of a few rows by a few panels of 8 columns, sums in registers.
//
// One step of k an iteration, and at most 8 sums: a longer body or more sums make V8 spill registers to memory and
// halve the speed. Every tile adds up each element in the order of k, so that all of them give the same bits.

/** Rows and panels of the tiles. */
const shapes = [
  [4, 1],
  [3, 1],
  [2, 1],
  [1, 1],
  [2, 2],
  [1, 4],
];

/** Tiles of one row that widen weights of 16 bits on the way; tiles of more rows find them widened. */
const halfShapes = [
  [1, 1],
  [1, 4],
];

/** Four weights from `bytes` bytes behind a pointer, by type. */
const loads = {
  "": { bytes: 16, load: (from, at) => `v128.load(${from}, ${at})` },
  // sign, exponent and fraction moved into place, then the difference of the exponents' biases as a factor
  Float16: {
    bytes: 8,
    load: (from, at) => `f32x4.mul(v128.and(i32x4.shl(v128.load_ext<i16>(${from}, ${at}), 13), kept), power)`,
    constants: "const kept = v128.load(FLOAT16_BITS);\nconst power = v128.load(TO_FLOAT32);",
  },
  Bfloat16: { bytes: 8, load: (from, at) => `i32x4.shl(v128.load_ext<u16>(${from}, ${at}), 16)` },
};

const range = (n) => Array.from({ length: n }, (_, i) => i);

function tile(rows, panels, type) {
  const { bytes, load, constants = "" } = loads[type];
  const vectors = range(panels * 2);
  const each = (text) => range(rows).flatMap((i) => vectors.map((j) => text(i, j))).join("\n");
  const offset = (j) => `${(j >> 1) === 0 ? "" : `${j >> 1} * panelStride + `}`;
  const panelPointer = (j) => `b${j >> 1}`;
  const finish = (value) =>
    range(rows)
      .map((i) => `${vectors.map((j) => `v128.store(y, ${value(i, j)}, ${j * 16});`).join("\n")}\ny += yStride;`)
      .join("\n");
  return `
export function tile${type}${type && "_"}${rows}x${panels}(
  a: usize, aStride: usize, b: usize, panelStride: usize, step: usize, y: usize, yStride: usize, count: i32, bias: usize,
  add: bool,
): void {
  ${range(rows).map((i) => `let a${i} = a${i === 0 ? "" : ` + ${i} * aStride`};`).join("\n")}
  ${range(panels).map((p) => `let b${p} = ${offset(2 * p)}b;`).join("\n")}
  ${constants}
  ${each((i, j) => `let c${i}_${j} = f32x4.splat(0);`)}
  const end = b0 + <usize>count * step;
  if (count > 0) {
    do {
      ${range(rows).map((i) => `const x${i} = v128.load_splat<f32>(a${i});`).join("\n")}
      ${vectors
        .map(
          (j) => `const w${j} = ${load(panelPointer(j), (j & 1) * bytes)};
      ${range(rows).map((i) => `c${i}_${j} = madd(x${i}, w${j}, c${i}_${j});`).join("\n")}`,
        )
        .join("\n")}
      ${range(rows).map((i) => `a${i} += 4;`).join("\n")}
      ${range(panels).map((p) => `b${p} += step;`).join("\n")}
    } while (b0 < end);
  }
  if (add) {
    ${finish((i, j) => `f32x4.add(v128.load(y, ${j * 16}), c${i}_${j})`)}
  } else if (bias != 0) {
    ${vectors.map((j) => `const d${j} = v128.load(bias, ${j * 16});`).join("\n")}
    ${finish((i, j) => `f32x4.add(d${j}, c${i}_${j})`)}
  } else {
    ${finish((i, j) => `c${i}_${j}`)}
  }
}
`;
}

/** AssemblyScript of all tiles. */
export function generate() {
  const tiles = [
    ...shapes.map(([r, p]) => tile(r, p, "")),
    ...["Float16", "Bfloat16"].flatMap((type) => halfShapes.map(([r, p]) => tile(r, p, type))),
  ];
  return `import { madd } from "../../backends/wasm/assembly/simd.as";
import { FLOAT16_BITS, TO_FLOAT32 } from "./weights.as";
${tiles.join("")}`;
}
