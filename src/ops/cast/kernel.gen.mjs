// Prints the AssemblyScript of cast: one loop for each pair of types. Elements pass through four 32-bit lanes that
// hold a float32, a signed or an unsigned integer.

/** Bytes of an element, kind of its lanes, and its lanes from its bits. */
const sources = {
  float32: { width: 4, kind: "float", lanes: (bits) => bits },
  float16: { width: 2, kind: "float", lanes: (bits) => `fromFloat16(${bits})` },
  bfloat16: { width: 2, kind: "float", lanes: (bits) => `fromBfloat16(${bits})` },
  int32: { width: 4, kind: "signed", lanes: (bits) => bits },
  uint32: { width: 4, kind: "unsigned", lanes: (bits) => bits },
  uint8: { width: 1, kind: "unsigned", lanes: (bits) => bits },
};

const toFloat = {
  float: (x) => x,
  signed: (x) => `f32x4.convert_i32x4_s(${x})`,
  unsigned: (x) => `f32x4.convert_i32x4_u(${x})`,
};
const most = (value) => `i32x4.splat(${value})`;
// what i32x4 cannot hold is cut to its range
const toInt32 = {
  float: (x) => `i32x4.trunc_sat_f32x4_s(${x})`,
  signed: (x) => x,
  unsigned: (x) => `i32x4.min_u(${x}, ${most("0x7fffffff")})`,
};
const toUint32 = {
  float: (x) => `i32x4.trunc_sat_f32x4_u(${x})`,
  signed: (x) => `i32x4.max_s(${x}, i32x4.splat(0))`,
  unsigned: (x) => x,
};

/** Bits of an element from lanes of some kind. */
const targets = {
  float32: toFloat,
  float16: wrapped(toFloat, (x) => `toFloat16(${x})`),
  bfloat16: wrapped(toFloat, (x) => `toBfloat16(${x})`),
  int32: toInt32,
  uint32: toUint32,
  uint8: wrapped(toUint32, (x) => `i32x4.min_u(${x}, ${most(255)})`),
};

function wrapped(table, wrap) {
  return Object.fromEntries(Object.entries(table).map(([kind, lanes]) => [kind, (x) => wrap(lanes(x))]));
}

/** Pairs of types in the order of the numbers that the host gives. */
const pairs = Object.keys(sources).flatMap((from) =>
  Object.keys(targets).map((to) => ({ from, to, name: `${from}To${to[0].toUpperCase()}${to.slice(1)}` })),
);

function pairFunction({ from, to, name }) {
  const source = sources[from];
  const toWidth = sources[to].width;
  const value = (bits) => targets[to][source.kind](source.lanes(bits));
  return `
function ${name}(to: usize, from: usize, count: i32): void {
  for (; count >= 4; count -= 4) {
    storeBits${toWidth}(to, ${value(`loadBits${source.width}(from)`)});
    from += ${4 * source.width};
    to += ${4 * toWidth};
  }
  if (count > 0) storeSome<u${8 * toWidth}>(to, ${value(`loadSome<u${8 * source.width}>(from, count)`)}, count);
}
`;
}

/** The whole source; build-wasm.mjs compiles it. */
export function generate() {
  return `import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../../backends/wasm/assembly/half.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { PIECE, piecesOf, rowOffset } from "../../backends/wasm/assembly/rows.as";
import { loadBits1, loadBits2, loadBits4, loadSome, storeBits1, storeBits2, storeBits4, storeSome } from "./lanes.as";
${pairs.map(pairFunction).join("")}
/** Words: columns, rows, rank, y, x, pair of types, bytes of their elements, sizes, strides of x in bytes. */
export function cast(args: usize, thread: i32, threads: i32): void {
  const columns = load<i32>(args);
  const rank = load<i32>(args, 8);
  const fromWidth = load<u32>(args, 24);
  const toWidth = load<u32>(args, 28);
  const sizes = args + 32;
  const pieces = piecesOf(columns);
  const total = load<i32>(args, 4) * pieces;
  const end = partStart(total, thread + 1, threads);
  for (let piece = partStart(total, thread, threads); piece < end; piece++) {
    const row = piece / pieces;
    const first = (piece - row * pieces) * PIECE;
    const count = min(columns - first, PIECE);
    const to = <usize>load<u32>(args, 12) + <usize>(row * columns + first) * toWidth;
    const offset = rowOffset(row, rank, sizes, sizes + (<usize>rank << 2));
    const from = <usize>load<u32>(args, 16) + offset + <usize>first * fromWidth;
    switch (load<i32>(args, 20)) {
${pairs.map(({ name }, i) => `      case ${i}: ${name}(to, from, count); break;`).join("\n")}
    }
  }
}
`;
}
