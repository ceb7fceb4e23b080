import type { Program, WebgpuKernel } from "../../backends/webgpu/index.ts";

const WORKGROUP = 64;

const diagonals = ["lower", "diagonal", "upper"].map((name) => ({ name, type: "f32" }) as const);
const places = ["lowerOffset:u32", "diagonalOffset:u32", "upperOffset:u32"] as const;

/** A thread eliminates one system: factors of rows before, then 1 / pivots. */
const eliminate: Program = {
  name: "tridiagonalEliminate",
  bindings: [...diagonals, { name: "factors", type: "f32", write: true }],
  params: ["systems:u32", "states:u32", ...places],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.systems) { return; }
  let own = index * p.states;
  var inverse = 0.0;
  for (var i = 0u; i < p.states; i++) {
    var factor = 0.0;
    var before = 0.0;
    if (i > 0u) {
      factor = lower[p.lowerOffset + own + i] * inverse;
      before = upper[p.upperOffset + own + i - 1u];
    }
    inverse = 1.0 / (diagonal[p.diagonalOffset + own + i] - factor * before);
    factors[2u * (own + i)] = factor;
    factors[2u * (own + i) + 1u] = inverse;
  }`,
};

/** A thread solves for one column. */
const substitute: Program = {
  name: "tridiagonalSubstitute",
  bindings: [
    { name: "upper", type: "f32" },
    { name: "factors", type: "f32" },
    { name: "x", type: "f32" },
    { name: "y", type: "f32", write: true },
  ],
  params: ["systems:u32", "states:u32", "columns:u32", "upperOffset:u32", "xOffset:u32", "yOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.systems * p.columns) { return; }
  let own = index / p.columns * p.states;
  let column = index % p.columns;
  var known = 0.0;
  for (var i = 0u; i < p.states; i++) {
    let at = (own + i) * p.columns + column;
    known = x[p.xOffset + at] - factors[2u * (own + i)] * known;
    y[p.yOffset + at] = known;
  }
  for (var i = p.states; i > 0u; i--) {
    let at = (own + i - 1u) * p.columns + column;
    var value = y[p.yOffset + at];
    if (i < p.states) { value -= upper[p.upperOffset + own + i - 1u] * known; }
    known = value * factors[2u * (own + i) - 1u];
    y[p.yOffset + at] = known;
  }`,
};

const tridiagonalSolve: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const y = outputs["y"]!;
  if (y.size === 0) return;
  const [lower, diagonal, upper, x] = ["lower", "diagonal", "upper", "x"].map((name) => inputs[name]!);
  const { systems, state: states, columns } = axes as { systems: number; state: number; columns: number };
  const factors = context.scratch(8 * systems * states);
  const offsets = { lowerOffset: lower!.offset, diagonalOffset: diagonal!.offset, upperOffset: upper!.offset };
  const bound = [lower!, diagonal!, upper!, factors];
  context.dispatch(eliminate, bound, { systems, states, ...offsets }, Math.ceil(systems / WORKGROUP));
  const values = { systems, states, columns, upperOffset: upper!.offset, xOffset: x!.offset, yOffset: y.offset };
  context.dispatch(substitute, [upper!, factors, x!, y], values, Math.ceil((systems * columns) / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const tridiagonalSolveWebgpu = { tridiagonalSolve } as const satisfies Record<string, WebgpuKernel>;
