import type { ReferenceKernel } from "../../backends/reference/index.ts";

const tridiagonalSolve: ReferenceKernel = ({ input, output, axes }) => {
  const { systems, state, columns } = axes as { systems: number; state: number; columns: number };
  const [lower, diagonal, upper, x, y] = [input("lower"), input("diagonal"), input("upper"), input("x"), output("y")];
  const pivots = new Float64Array(state);
  const row = new Float64Array(state);
  for (let system = 0; system < systems; system++) {
    const at = system * state;
    for (let i = 0; i < state; i++) {
      pivots[i] = diagonal[at + i]! - (i > 0 ? (lower[at + i]! * upper[at + i - 1]!) / pivots[i - 1]! : 0);
    }
    for (let column = 0; column < columns; column++) {
      for (let i = 0; i < state; i++) {
        const before = i > 0 ? (lower[at + i]! / pivots[i - 1]!) * row[i - 1]! : 0;
        row[i] = x[(at + i) * columns + column]! - before;
      }
      for (let i = state - 1; i >= 0; i--) {
        const after = i < state - 1 ? upper[at + i]! * row[i + 1]! : 0;
        row[i] = (row[i]! - after) / pivots[i]!;
        y[(at + i) * columns + column] = row[i]!;
      }
    }
  }
};

/** Reference kernels of this folder. */
export const tridiagonalSolveReference = { tridiagonalSolve } as const satisfies Record<string, ReferenceKernel>;
