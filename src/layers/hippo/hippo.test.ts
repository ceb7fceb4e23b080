import { afterAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../../checkpoints/index.ts";
import { Random } from "../../tensor/random.ts";
import { hermitianEigen } from "./hermitian-eigen.ts";
import { type HippoMeasure, hippo } from "./measures.ts";
import { normalPlusLowRank } from "./nplr.ts";

const golden = await readSafetensors(new URL("../../../test/fixtures/s4/hippo.safetensors", import.meta.url).pathname);
afterAll(() => golden.close());

async function stored(name: string): Promise<Float32Array> {
  return (await golden.tensors.get(name)!.read()) as Float32Array;
}

/** Largest difference as a share of the largest expected element. */
function error(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let [most, scale] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    most = Math.max(most, Math.abs(actual[i]! - expected[i]!));
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return most / scale;
}

const sizes = [4, 16, 64];

const pair = (x: ArrayLike<number>, i: number): [number, number] => [x[2 * i]!, x[2 * i + 1]!];

describe("hippo", () => {
  for (const measure of ["legs", "legt", "lagt", "fout", "foud"] as const) {
    it(`${measure} is the official one`, async () => {
      for (const size of measure === "legs" ? sizes : [4, 16]) {
        const { A, B } = hippo(measure, size);
        expect(error(A, await stored(`${measure}.${size}.A`))).toBeLessThan(1e-6);
        expect(error(B, await stored(`${measure}.${size}.B`))).toBeLessThan(1e-6);
      }
    });
  }

  it("refuses what it does not know", () => {
    expect(() => hippo("legz" as HippoMeasure, 4)).toThrow(
      "hippo: measure must be one of legs, legt, lagt, fout, foud; got legz",
    );
    expect(() => hippo("fout", 5)).toThrow("hippo: size of fout must be a positive even integer; got 5");
    expect(() => hippo("legs", 0)).toThrow("hippo: size of legs must be a positive integer; got 0");
  });
});

describe("hermitianEigen", () => {
  it("gives an orthonormal basis that makes any Hermitian matrix diagonal", () => {
    for (const size of [1, 2, 5, 12]) {
      const random = new Random(size);
      const matrix = new Float64Array(2 * size * size);
      for (let i = 0; i < size; i++) {
        for (let j = 0; j <= i; j++) {
          const [re, im] = [random.normal(), i === j ? 0 : random.normal()];
          matrix.set([re, im], 2 * (i * size + j));
          matrix.set([re, -im], 2 * (j * size + i));
        }
      }
      const { values, vectors } = hermitianEigen(matrix, size);
      expect([...values].sort((a, b) => a - b)).toEqual([...values]);
      for (let column = 0; column < size; column++) {
        expect(vectors[2 * column + 1]).toBeCloseTo(0, 14);
        expect(vectors[2 * column]!).toBeGreaterThan(0);
        for (let row = 0; row < size; row++) {
          let [re, im, innerRe, innerIm] = [0, 0, 0, 0];
          for (let k = 0; k < size; k++) {
            const [aRe, aIm] = pair(matrix, row * size + k);
            const [vRe, vIm] = pair(vectors, k * size + column);
            const [wRe, wIm] = pair(vectors, k * size + row);
            re += aRe * vRe - aIm * vIm;
            im += aRe * vIm + aIm * vRe;
            innerRe += wRe * vRe + wIm * vIm;
            innerIm += wRe * vIm - wIm * vRe;
          }
          expect(re).toBeCloseTo(values[column]! * vectors[2 * (row * size + column)]!, 12);
          expect(im).toBeCloseTo(values[column]! * vectors[2 * (row * size + column) + 1]!, 12);
          expect(innerRe).toBeCloseTo(row === column ? 1 : 0, 12);
          expect(innerIm).toBeCloseTo(0, 12);
        }
      }
    }
  });
});

describe("normalPlusLowRank", () => {
  it("has the official eigenvalues, lengths and products of LegS, whatever the phase", async () => {
    for (const size of sizes) {
      const { Lambda, P, V, half } = normalPlusLowRank("legs", size);
      expect(error(Lambda, await stored(`nplr-legs.${size}.w`))).toBeLessThan(1e-6);
      const theirP = await stored(`nplr-legs.${size}.P`);
      const lengths = (x: ArrayLike<number>): number[] =>
        Array.from({ length: half }, (_, k) => Math.hypot(x[2 * k]!, x[2 * k + 1]!));
      expect(error(lengths(P), lengths(theirP))).toBeLessThan(1e-6);
      // vectors are in the file for the smaller sizes
      if (size > 16) continue;
      const theirV = await stored(`nplr-legs.${size}.V`);
      for (let k = 0; k < half; k++) {
        const sign = Math.sign(theirV[2 * k]!);
        for (let n = 0; n < size; n++) {
          expect(V[2 * (n * half + k)]!).toBeCloseTo(sign * theirV[2 * (n * half + k)]!, 5);
          expect(V[2 * (n * half + k) + 1]!).toBeCloseTo(sign * theirV[2 * (n * half + k) + 1]!, 5);
        }
      }
    }
  });

  it("has the known LegS values", () => {
    const { Lambda, B, P, half } = normalPlusLowRank("legs", 64);
    expect([...Lambda].filter((_, i) => i % 2 === 0).every((re) => Math.abs(re + 0.5) < 1e-12)).toBe(true);
    [-1303.27384, -433.03076, -258.15221, -182.62041].forEach((im, k) => {
      expect(Lambda[2 * k + 1]!).toBeCloseTo(im, 4);
    });
    expect(Lambda.at(-1)!).toBeCloseTo(-0.26385693, 8);
    for (let i = 0; i < 2 * half; i++) expect(B[i]!).toBeCloseTo(Math.SQRT2 * P[i]!, 10);
  });

  for (const measure of ["legs", "legt", "lagt", "fout", "foud"] as const) {
    it(`gives A of ${measure} back`, () => {
      const size = 16;
      const { A } = hippo(measure, size);
      const { Lambda, P, V, half, rank } = normalPlusLowRank(measure, size);
      for (let n = 0; n < size; n++) {
        for (let k = 0; k < size; k++) {
          expect(recomposed({ Lambda, P, V, half, rank }, n, k)).toBeCloseTo(A[n * size + k]!, 9);
        }
      }
    });
  }

  it("refuses odd sizes and ranks that are too small", () => {
    expect(() => normalPlusLowRank("legs", 5)).toThrow("normalPlusLowRank: size must be even; got 5");
    expect(() => normalPlusLowRank("legt", 4, 1)).toThrow("rank of legt must be at least 2; got 1");
  });
});

/** Element [n k] of V (diag(Lambda) - sum of P P*) V* over both halves: twice the real part of one half and, for P, a product of sums. */
function recomposed(
  { Lambda, P, V, half, rank }: Pick<ReturnType<typeof normalPlusLowRank>, "Lambda" | "P" | "V" | "half" | "rank">,
  n: number,
  k: number,
): number {
  const v = (row: number, j: number): [number, number] => pair(V, row * half + j);
  let sum = 0;
  for (let j = 0; j < half; j++) {
    const [a, b] = v(n, j);
    const [c, d] = v(k, j);
    const [re, im] = [a * c + b * d, b * c - a * d];
    sum += 2 * (Lambda[2 * j]! * re - Lambda[2 * j + 1]! * im);
  }
  for (let r = 0; r < rank; r++) {
    const real = (row: number): number => {
      let total = 0;
      for (let j = 0; j < half; j++) {
        const [a, b] = v(row, j);
        total += 2 * (a * P[2 * (r * half + j)]! - b * P[2 * (r * half + j) + 1]!);
      }
      return total;
    };
    sum -= real(n) * real(k);
  }
  return sum;
}
