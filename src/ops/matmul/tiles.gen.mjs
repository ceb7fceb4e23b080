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

const range = (n) => Array.from({ length: n }, (_, i) => i);

function tile(rows, panels) {
  const vectors = range(panels * 2);
  const each = (text) => range(rows).flatMap((i) => vectors.map((j) => text(i, j))).join("\n");
  const offset = (j) => `${(j >> 1) === 0 ? "" : `${j >> 1} * panelStride + `}`;
  const panelPointer = (j) => `b${j >> 1}`;
  const finish = (value) =>
    range(rows)
      .map((i) => `${vectors.map((j) => `v128.store(y, ${value(i, j)}, ${j * 16});`).join("\n")}\ny += yStride;`)
      .join("\n");
  return `
export function tile${rows}x${panels}(
  a: usize, aStride: usize, b: usize, panelStride: usize, step: usize, y: usize, yStride: usize, count: i32, bias: usize,
  add: bool,
): void {
  ${range(rows).map((i) => `let a${i} = a${i === 0 ? "" : ` + ${i} * aStride`};`).join("\n")}
  ${range(panels).map((p) => `let b${p} = ${offset(2 * p)}b;`).join("\n")}
  ${each((i, j) => `let c${i}_${j} = f32x4.splat(0);`)}
  const end = b0 + <usize>count * step;
  if (count > 0) {
    do {
      ${range(rows).map((i) => `const x${i} = v128.load_splat<f32>(a${i});`).join("\n")}
      ${vectors
        .map(
          (j) => `const w${j} = v128.load(${panelPointer(j)}, ${(j & 1) * 16});
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
  return `import { madd } from "../../backends/wasm/assembly/simd.as";\n${shapes.map(([r, p]) => tile(r, p)).join("")}`;
}
