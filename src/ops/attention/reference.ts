import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";

/** Index of an element of a dense [batch tokens heads width] tensor. */
function placeIn(tokens: number, heads: number, width: number): (b: number, t: number, h: number) => number {
  return (b, t, h) => ((b * tokens + t) * heads + h) * width;
}

/** Calls `f` for every query with the keys that it sees, from `first` up to, not including, `end`. */
function forQueries(
  { input, has, axes }: ReferenceContext,
  f: (b: number, h: number, i: number, first: number, end: number) => void,
): void {
  const { batch, length, keys, heads } = axes as { batch: number; length: number; keys: number; heads: number };
  const segments = has("segmentIds") ? input("segmentIds") : undefined;
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < length; i++) {
      const own = keys - length + i;
      const segment = segments?.[b * keys + own] ?? 0;
      let first = segments ? own : 0;
      if (segments) while (first > 0 && segments[b * keys + first - 1] === segment) first--;
      for (let h = 0; h < heads; h++) f(b, h, i, first, segment < 0 ? first : own + 1);
    }
  }
}

function dot(a: ArrayLike<number>, at: number, b: ArrayLike<number>, bt: number, width: number): number {
  let sum = 0;
  for (let c = 0; c < width; c++) sum += a[at + c]! * b[bt + c]!;
  return sum;
}

const attention: ReferenceKernel = (context) => {
  const { input, output, axes, params } = context;
  const { length, keys, heads, width } = axes as Record<string, number>;
  const [q, k, v, y, logSumExp] = [input("q"), input("k"), input("v"), output("y"), output("logSumExp")];
  const query = placeIn(length!, heads!, width!);
  const key = placeIn(keys!, heads!, width!);
  const scale = params["scale"] as number;
  y.fill(0);
  forQueries(context, (b, h, i, first, end) => {
    const at = query(b, i, h);
    const scores = Array.from({ length: end - first }, (_, j) => scale * dot(q, at, k, key(b, first + j, h), width!));
    const most = Math.max(...scores);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - most), 0);
    logSumExp[(b * heads! + h) * length! + i] = end > first ? most + Math.log(total) : 0;
    scores.forEach((score, j) => {
      const weight = Math.exp(score - most) / total;
      const from = key(b, first + j, h);
      for (let c = 0; c < width!; c++) y[at + c]! += weight * v[from + c]!;
    });
  });
};

const attentionBackward: ReferenceKernel = (context) => {
  const { input, output, axes, params } = context;
  const { length, keys, heads, width } = axes as Record<string, number>;
  const [q, k, v, y, dy] = [input("q"), input("k"), input("v"), input("y"), input("dy")];
  const [dq, dk, dv] = [output("dq"), output("dk"), output("dv")];
  const logSumExp = input("logSumExp");
  const query = placeIn(length!, heads!, width!);
  const key = placeIn(keys!, heads!, width!);
  const scale = params["scale"] as number;
  for (const made of [dq, dk, dv]) made.fill(0);
  forQueries(context, (b, h, i, first, end) => {
    const at = query(b, i, h);
    const shared = dot(dy, at, y, at, width!);
    for (let j = first; j < end; j++) {
      const from = key(b, j, h);
      const weight = Math.exp(scale * dot(q, at, k, from, width!) - logSumExp[(b * heads! + h) * length! + i]!);
      const dscore = weight * (dot(dy, at, v, from, width!) - shared) * scale;
      for (let c = 0; c < width!; c++) {
        dq[at + c]! += dscore * k[from + c]!;
        dk[from + c]! += dscore * q[at + c]!;
        dv[from + c]! += weight * dy[at + c]!;
      }
    }
  });
};

/** Reference kernels of this folder. */
export const attentionReference = { attention, attentionBackward } as const satisfies Record<string, ReferenceKernel>;
