import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { LOW_RANK_ROWS } from "./operations.ts";

type Complex = readonly [re: number, im: number];

const times = ([a, b]: Complex, [c, d]: Complex): Complex => [a * c - b * d, a * d + b * c];
const minus = ([a, b]: Complex, [c, d]: Complex, factor: number): Complex => [a - c * factor, b - d * factor];

/** 2 Re sum(conj(a) b). */
function inner(a: (n: number) => Complex, b: readonly Complex[]): number {
  return 2 * b.reduce((sum, [re, im], n) => sum + a(n)[0] * re + a(n)[1] * im, 0);
}

const stateSpaceStep: ReferenceKernel = ({ input, output, axes }) => {
  const { batch, features, pairs, outputs, rows } = axes as Record<
    "batch" | "features" | "pairs" | "outputs" | "rows",
    number
  >;
  const [u, state, system, C, D] = [input("u"), input("state"), input("system"), input("C"), input("D")];
  const [y, next] = [output("y"), output("next")];
  const at = (values: ArrayLike<number>, place: number): Complex => [values[2 * place]!, values[2 * place + 1]!];
  for (let b = 0; b < batch; b++) {
    for (let f = 0; f < features; f++) {
      const given = u[b * features + f]!;
      const own =
        (row: number) =>
        (n: number): Complex =>
          at(system, (row * features + f) * pairs + n);
      const [A, B, W, P, S] = [own(0), own(1), own(2), own(3), own(4)] as const;
      const x = Array.from({ length: pairs }, (_, n) => at(state, (b * features + f) * pairs + n));
      let after = x.map((value, n) => minus(times(A(n), value), B(n), -given));
      if (rows === LOW_RANK_ROWS) {
        const before = inner(P, x);
        const w = after.map((value, n) => times(W(n), minus(value, P(n), before)));
        const through = inner(P, w);
        after = w.map((value, n) => minus(value, S(n), through));
      }
      for (const [n, [re, im]] of after.entries()) next.set([re, im], 2 * ((b * features + f) * pairs + n));
      for (let o = 0; o < outputs; o++) {
        const row = o * features + f;
        const seen = inner((n) => [C[2 * (row * pairs + n)]!, -C[2 * (row * pairs + n) + 1]!], after);
        y[(b * outputs + o) * features + f] = seen + D[row]! * given;
      }
    }
  }
};

/** Reference kernels of this folder. */
export const stateSpaceStepReference = { stateSpaceStep } as const satisfies Record<string, ReferenceKernel>;
