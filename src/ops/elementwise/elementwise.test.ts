import { expect, it } from "vitest";
import { type Fill, normal, testOp, uniform } from "../../../test/kit/test-op.ts";
import type { Random } from "../../tensor/random.ts";
import type { Shape } from "../../tensor/shape.ts";
import { erf, gelu, sigmoid, softplus } from "./functions.ts";
import { binaryOperations, unaryOperations } from "./operations.ts";
import type { UnaryName } from "./table.ts";

const positive = { x: uniform(0.1, 4) };
// central differences across a kink measure neither side
const offKink = {
  x: (random: Random, shape: Shape) => normal(random, shape).map((x) => x + 0.1 * Math.sign(x)) as Float64Array,
};
const domains: Partial<Record<UnaryName, { x: Fill }>> = {
  abs: offKink,
  relu: offKink,
  log: positive,
  sqrt: positive,
  rsqrt: positive,
  reciprocal: positive,
  log1p: { x: uniform(-0.9, 3) },
  sin: { x: uniform(-50, 50) },
  cos: { x: uniform(-50, 50) },
};

for (const [name, op] of Object.entries(unaryOperations)) {
  const fill = domains[name as UnaryName];
  testOp(op, {
    cases: [
      { leading: [3, 5], fill },
      { leading: [1029], fill },
      { leading: [2, 0, 3], fill },
    ],
  });
}

for (const op of Object.values(binaryOperations)) {
  const fill = op.name === "div" ? { b: uniform(0.5, 2) } : undefined;
  const shapes: [number[], number[]][] = [
    [
      [3, 5],
      [3, 5],
    ],
    [[2, 3, 37], [37]],
    [[2, 3, 8], [8]],
    [
      [2, 3, 8],
      [2, 1, 8],
    ],
    [
      [4, 1, 6],
      [3, 1],
    ],
    [[], [2, 2]],
    [
      [2, 1, 3, 1],
      [1, 4, 1, 5],
    ],
  ];
  testOp(op, { cases: shapes.map(([a, b]) => ({ shapes: { a, b }, fill })) });
}

it("keeps softplus and sigmoid finite where the naive forms overflow", () => {
  expect(softplus(1000)).toBe(1000);
  expect(softplus(-40)).toBeCloseTo(Math.exp(-40), 30);
  expect(softplus(20)).toBeCloseTo(20 + Math.exp(-20), 12);
  expect(sigmoid(-800)).toBe(0);
  expect(sigmoid(800)).toBe(1);
});

it("has the error function's tabulated values", () => {
  expect(erf(0.5)).toBeCloseTo(0.5204998778130465, 14);
  expect(erf(2)).toBeCloseTo(0.9953222650189527, 14);
  expect(erf(3)).toBeCloseTo(0.9999779095030014, 14);
  expect(erf(-2.6)).toBeCloseTo(-0.9997639655834707, 14);
  expect(gelu(1)).toBeCloseTo(0.8413447460685429, 14);
});
