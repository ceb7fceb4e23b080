// Prints the AssemblyScript kernels of the elementwise table: one function per row, its gradient, and the binary ones.

const add = (a, b) => `f32x4.add(${a}, ${b})`;
const sub = (a, b) => `f32x4.sub(${a}, ${b})`;
const mul = (a, b) => `f32x4.mul(${a}, ${b})`;
const div = (a, b) => `f32x4.div(${a}, ${b})`;
const neg = (a) => `f32x4.neg(${a})`;
const splat = (value) => `f32x4.splat(${value})`;
const call = (name, a = "x") => `${name}(${a})`;

/** By name: y of x, and dx of x, y and dy. */
const unaryRows = {
  neg: [neg("x"), neg("dy")],
  exp: [call("math.exp"), mul("dy", "y")],
  expm1: [call("math.expm1"), mul("dy", add("y", splat(1)))],
  log: [call("math.log"), div("dy", "x")],
  log1p: [call("math.log1p"), div("dy", add("x", splat(1)))],
  sqrt: ["f32x4.sqrt(x)", div(mul("dy", splat(0.5)), "y")],
  rsqrt: [call("math.rsqrt"), div(mul("dy", mul("y", splat(-0.5))), "x")],
  reciprocal: [div(splat(1), "x"), neg(mul("dy", mul("y", "y")))],
  abs: ["f32x4.abs(x)", `v128.and(v128.xor(dy, v128.and(x, ${splat("-0.0")})), f32x4.ne(x, ${splat(0)}))`],
  square: [mul("x", "x"), mul(add("x", "x"), "dy")],
  relu: [`f32x4.pmax(x, ${splat(0)})`, `v128.and(dy, f32x4.gt(x, ${splat(0)}))`],
  sigmoid: [call("math.sigmoid"), mul("dy", mul("y", sub(splat(1), "y")))],
  tanh: [call("math.tanh"), mul("dy", sub(splat(1), mul("y", "y")))],
  silu: [call("math.silu"), mul("dy", call("math.siluDerivative"))],
  softplus: [call("math.softplus"), mul("dy", call("math.sigmoid"))],
  gelu: [call("normal.gelu"), mul("dy", call("normal.geluDerivative"))],
  sin: [call("trigonometry.sin"), mul("dy", call("trigonometry.cos"))],
  cos: [call("trigonometry.cos"), neg(mul("dy", call("trigonometry.sin")))],
  atan: [call("trigonometry.atan"), div("dy", add(splat(1), mul("x", "x")))],
};

/** y of a and b. */
const binaryRows = {
  add: add("a", "b"),
  sub: sub("a", "b"),
  mul: mul("a", "b"),
  div: div("a", "b"),
  maximum: "f32x4.max(a, b)",
  minimum: "f32x4.min(a, b)",
  greaterEqual: `v128.and(f32x4.ge(a, b), ${splat(1)})`,
};

const letter = (name, expression) => new RegExp(`\\b${name}\\b`).test(expression);

/** A kernel over rows: words are columns, rows, rank, output, operands, then (strided) inner strides, sizes, strides. */
function kernel({ name, operands, strided, body }) {
  const heads = operands.length + 4 + (strided ? operands.length : 0);
  const rows = operands.map((operand, k) => {
    const stride = strided ? ` * stride${k}` : "";
    const strides = `sizes + (<usize>(rank * ${k + 1}) << 2)`;
    return `    const ${operand}At = base${k} + rowOffset(row, rank, sizes, ${strides}) + (<usize>first << 2)${stride};`;
  });
  return `
export function ${name}(args: usize, thread: i32, threads: i32): void {
  const columns = load<i32>(args);
  const rank = load<i32>(args, 8);
  const output = <usize>load<u32>(args, 12);
${operands.map((_, k) => `  const base${k} = <usize>load<u32>(args, ${16 + 4 * k});`).join("\n")}
${strided ? operands.map((_, k) => `  const stride${k} = <usize>load<u32>(args, ${16 + 4 * (operands.length + k)});`).join("\n") : ""}
  const sizes = args + ${4 * heads};
  const pieces = piecesOf(columns);
  const total = load<i32>(args, 4) * pieces;
  const end = partStart(total, thread + 1, threads);
  for (let piece = partStart(total, thread, threads); piece < end; piece++) {
    const row = piece / pieces;
    const first = (piece - row * pieces) * PIECE;
    const count = min(columns - first, PIECE);
    const rest = count & 3;
    const whole = <usize>(count - rest) << 2;
    const to = output + (<usize>(row * columns + first) << 2);
${rows.join("\n")}
${body}
  }
}
`;
}

/** The loop over one piece; loads say how each operand is read at byte i, whole and partial. */
function loop(operands, expression, load, loadRest) {
  const used = operands.filter((operand) => letter(operand, expression));
  return `    for (let i: usize = 0; i < whole; i += 16) {
${used.map((operand) => `      const ${operand} = ${load(operand)};`).join("\n")}
      v128.store(to + i, ${expression});
    }
    if (rest) {
${used.map((operand) => `      const ${operand} = ${loadRest(operand)};`).join("\n")}
      storePartial(to + whole, ${expression}, rest);
    }`;
}

const dense = (operand) => `v128.load(${operand}At + i)`;
const denseRest = (operand) => `loadPartial(${operand}At + whole, rest)`;

function unaryKernel(name, expression) {
  return kernel({ name, operands: ["x"], strided: false, body: loop(["x"], expression, dense, denseRest) });
}

function backwardKernel(name, expression) {
  const operands = ["x", "y", "dy"];
  return kernel({ name, operands, strided: false, body: loop(operands, expression, dense, denseRest) });
}

/** Both dense; one repeated along the row; else lane by lane. */
function binaryKernel(name, expression) {
  const operands = ["a", "b"];
  const repeated = (which, load) => (operand) => (operand === which ? `${which}Splat` : load(operand));
  const lane = (operand) => `loadStrided(${operand}At + (i >> 2) * ${operand}Stride, ${operand}Stride)`;
  const laneRest = (operand) => `loadStridedPartial(${operand}At + (whole >> 2) * ${operand}Stride, ${operand}Stride, rest)`;
  const variant = (load, loadRest) => loop(operands, expression, load, loadRest).replaceAll(/^/gm, "  ");
  const withSplat = (which) => `      const ${which}Splat = v128.load_splat<f32>(${which}At);
${variant(repeated(which, dense), repeated(which, denseRest))}`;
  const body = `    const aStride = stride0 << 2;
    const bStride = stride1 << 2;
    if (stride0 == 1 && stride1 == 1) {
${variant(dense, denseRest)}
    } else if (stride0 == 1 && stride1 == 0) {
${withSplat("b")}
    } else if (stride0 == 0 && stride1 == 1) {
${withSplat("a")}
    } else {
${variant(lane, laneRest)}
    }`;
  return kernel({ name, operands, strided: true, body });
}

/** The whole source; build-wasm.mjs compiles it. */
export function generate() {
  return `import * as normal from "../../backends/wasm/assembly/gelu.as";
import * as math from "../../backends/wasm/assembly/math.as";
import { loadPartial, loadStrided, loadStridedPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { PIECE, piecesOf, rowOffset } from "../../backends/wasm/assembly/rows.as";
import * as trigonometry from "../../backends/wasm/assembly/trigonometry.as";
${Object.entries(unaryRows)
  .map(([name, [value, gradient]]) => unaryKernel(name, value) + backwardKernel(`${name}Backward`, gradient))
  .join("")}
${Object.entries(binaryRows)
  .map(([name, value]) => binaryKernel(name, value))
  .join("")}`;
}
