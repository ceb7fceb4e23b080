import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { type Complex, conjugate, inverse, pairAt, plus, scaled, times } from "./complex.ts";

/** Cosine and sine of half the angle of node j; at j = length / 2 the cosine is exactly 0. */
function halfAngle(j: number, length: number): { c: number; s: number } {
  const angle = (Math.PI * j) / length;
  return { c: 2 * j === length ? 0 : Math.cos(angle), s: Math.sin(angle) };
}

/** 1 / (2 i s - c w) */
const pole = (w: Complex, { c, s }: { c: number; s: number }): Complex => inverse([-c * w[0], 2 * s - c * w[1]]);

function add(to: TypedArray, i: number, value: Complex): void {
  to[2 * i]! += value[0];
  to[2 * i + 1]! += value[1];
}

interface Sizes {
  readonly products: number;
  readonly channels: number;
  readonly state: number;
  readonly nodes: number;
}

/** Calls `f` for every node, channel and state with both poles and the places of w and v. */
function eachPole(
  { axes, input, params }: ReferenceContext,
  f: (at: { node: number; channel: number; state: number; c: number; own: Complex; other: Complex }) => void,
): void {
  const { channels, state, nodes } = axes as unknown as Sizes;
  const w = input("w");
  for (let node = 0; node < nodes; node++) {
    const turn = halfAngle(node, params["length"] as number);
    for (let channel = 0; channel < channels; channel++) {
      for (let n = 0; n < state; n++) {
        const value = pairAt(w, channel * state + n);
        f({ node, channel, state: n, c: turn.c, own: pole(value, turn), other: pole(conjugate(value), turn) });
      }
    }
  }
}

const cauchy: ReferenceKernel = (context) => {
  const { products, channels, state, nodes } = context.axes as unknown as Sizes;
  const [v, q] = [context.input("v"), context.output("q")];
  eachPole(context, ({ node, channel, state: n, own, other }) => {
    for (let p = 0; p < products; p++) {
      const value = pairAt(v, (p * channels + channel) * state + n);
      add(q, (p * nodes + node) * channels + channel, plus(times(value, own), times(conjugate(value), other)));
    }
  });
};

const cauchyBackward: ReferenceKernel = (context) => {
  const { products, channels, state, nodes } = context.axes as unknown as Sizes;
  const [v, dq, dv, dw] = [context.input("v"), context.input("dq"), context.output("dv"), context.output("dw")];
  eachPole(context, ({ node, channel, state: n, c, own, other }) => {
    for (let p = 0; p < products; p++) {
      const at = (p * channels + channel) * state + n;
      const value = pairAt(v, at);
      const given = pairAt(dq, (p * nodes + node) * channels + channel);
      add(dv, at, plus(times(given, conjugate(own)), times(conjugate(given), other)));
      const square = conjugate(times(value, times(own, own)));
      const otherSquare = times(conjugate(value), times(other, other));
      add(dw, channel * state + n, scaled(plus(times(given, square), times(conjugate(given), otherSquare)), c));
    }
  });
};

/** Reference kernels of this folder. */
export const cauchyReference = { cauchy, cauchyBackward } as const satisfies Record<string, ReferenceKernel>;
