import { type Program, programNamed } from "../../backends/webgpu/index.ts";
import { complexCode, WORKGROUP } from "../fourier/transform.webgpu.ts";

/** `pairs` of channels from `firstPair` on go through together; a pair is one complex sequence. */
const sizes = [
  ...(["batch:u32", "length:u32", "channels:u32", "count:u32", "pairs:u32", "firstPair:u32"] as const),
  ...(["taps:u32", "afterTaps:u32"] as const),
];

/** WGSL: what the first and the second channel of a pair have at a frequency, from there and from its negative. */
const splitCode = `${complexCode}
fn firstOf(here: vec2<f32>, there: vec2<f32>) -> vec2<f32> { return 0.5 * (here + conj(there)); }
fn secondOf(here: vec2<f32>, there: vec2<f32>) -> vec2<f32> {
  let less = 0.5 * (here - conj(there));
  return vec2<f32>(less.y, -less.x);
}
fn joined(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> { return vec2<f32>(a.x - b.y, a.y + b.x); }`;

/** Taps from 0 on, and those that look ahead from the end on backwards. */
export function kernelProgram(hasAfter: boolean): Program {
  return programNamed(`fftConv kernels${hasAfter ? " after" : ""}`, () => ({
    bindings: [
      { name: "k", type: "f32" },
      ...(hasAfter ? [{ name: "ahead", type: "f32" } as const] : []),
      { name: "target_", type: "vec2<f32>", write: true },
    ],
    params: [...sizes, "kOffset:u32", "kRow:u32", "aheadOffset:u32", "aheadRow:u32"],
    workgroup: WORKGROUP,
    declarations: `
fn tapAt(j: u32, c: u32) -> f32 {
  if (c >= p.channels) { return 0.0; }
  if (j < p.taps) { return k[p.kOffset + j * p.kRow + c]; }
  ${hasAfter ? "if (p.count - 1u - j < p.afterTaps) { return ahead[p.aheadOffset + (p.count - 1u - j) * p.aheadRow + c]; }" : ""}
  return 0.0;
}`,
    body: `
  if (index >= p.count * p.pairs) { return; }
  let c = 2u * (p.firstPair + index % p.pairs);
  let j = index / p.pairs;
  target_[index] = vec2<f32>(tapAt(j, c), tapAt(j, c + 1u));`,
  }));
}

/** Rows of x, then zeros; all of the batch side by side. */
export const rowsProgram: Program = {
  name: "fftConv rows",
  bindings: [
    { name: "x", type: "f32" },
    { name: "target_", type: "vec2<f32>", write: true },
  ],
  params: [...sizes, "xOffset:u32", "xBatch:u32", "xTime:u32"],
  workgroup: WORKGROUP,
  body: `
  let columns = p.batch * p.pairs;
  if (index >= p.count * columns) { return; }
  let column = index % columns;
  let t = index / columns;
  let c = 2u * (p.firstPair + column % p.pairs);
  var value = vec2<f32>(0.0);
  if (t < p.length) {
    let at = p.xOffset + column / p.pairs * p.xBatch + t * p.xTime + c;
    value.x = x[at];
    if (c + 1u < p.channels) { value.y = x[at + 1u]; }
  }
  target_[index] = value;`,
};

/** Spectra times those of the kernels, or times their conjugates. */
export const multiplyProgram = (isConjugate: boolean): Program =>
  programNamed(`fftConv multiply${isConjugate ? " conjugate" : ""}`, () => {
    const kernel = (part: string): string => (isConjugate ? `conj(${part})` : part);
    return {
      bindings: [
        { name: "source", type: "vec2<f32>" },
        { name: "kernels", type: "vec2<f32>" },
        { name: "target_", type: "vec2<f32>", write: true },
      ],
      params: sizes,
      workgroup: WORKGROUP,
      declarations: splitCode,
      body: `
  let columns = p.batch * p.pairs;
  if (index >= p.count * columns) { return; }
  let column = index % columns;
  let j = index / columns;
  let other = (p.count - j) % p.count;
  let here = source[index];
  let there = source[other * columns + column];
  let pair = column % p.pairs;
  let kernel = kernels[j * p.pairs + pair];
  let negative = kernels[other * p.pairs + pair];
  let a = times(firstOf(here, there), ${kernel("firstOf(kernel, negative)")});
  let b = times(secondOf(here, there), ${kernel("secondOf(kernel, negative)")});
  target_[index] = joined(a, b) / f32(p.count);`,
    };
  });

/** y = the real and imaginary parts of sequences as neighbouring channels, + D x. */
export function finishProgram(hasD: boolean): Program {
  return programNamed(`fftConv finish${hasD ? " D" : ""}`, () => ({
    bindings: [
      { name: "source", type: "vec2<f32>" },
      ...(hasD
        ? ([
            { name: "skip", type: "f32" },
            { name: "x", type: "f32" },
          ] as const)
        : []),
      { name: "y", type: "f32", write: true },
    ],
    params: [...sizes, "skipOffset:u32", "xOffset:u32", "xBatch:u32", "xTime:u32", "yOffset:u32"],
    workgroup: WORKGROUP,
    body: `
  let width = min(2u * p.pairs, p.channels - 2u * p.firstPair);
  if (index >= p.batch * p.length * width) { return; }
  let own = index % width;
  let t = (index / width) % p.length;
  let b = index / (width * p.length);
  let value = source[t * p.batch * p.pairs + b * p.pairs + own / 2u];
  let c = 2u * p.firstPair + own;
  var sum = select(value.x, value.y, own % 2u == 1u);
  ${hasD ? "sum = fma(skip[p.skipOffset + c], x[p.xOffset + b * p.xBatch + t * p.xTime + c], sum);" : ""}
  y[p.yOffset + (b * p.length + t) * p.channels + c] = sum;`,
  }));
}

/** Spectra of the kernels' gradients: products of those of u and dy, summed over the batch. */
export const sumProgram: Program = {
  name: "fftConv kernel gradients",
  bindings: [
    { name: "u", type: "vec2<f32>" },
    { name: "dy", type: "vec2<f32>" },
    { name: "target_", type: "vec2<f32>", write: true },
  ],
  params: sizes,
  workgroup: WORKGROUP,
  declarations: splitCode,
  body: `
  if (index >= p.count * p.pairs) { return; }
  let pair = index % p.pairs;
  let j = index / p.pairs;
  let other = (p.count - j) % p.count;
  var a = vec2<f32>(0.0);
  var b = vec2<f32>(0.0);
  for (var row = 0u; row < p.batch; row++) {
    let here = (j * p.batch + row) * p.pairs + pair;
    let there = (other * p.batch + row) * p.pairs + pair;
    a += times(conj(firstOf(u[here], u[there])), firstOf(dy[here], dy[there]));
    b += times(conj(secondOf(u[here], u[there])), secondOf(dy[here], dy[there]));
  }
  target_[index] = joined(a, b) / f32(p.count);`,
};

/** Rows of a sequence as rows of a kernel's gradient. */
export const tapsProgram: Program = {
  name: "fftConv taps",
  bindings: [
    { name: "source", type: "vec2<f32>" },
    { name: "out", type: "f32", write: true },
  ],
  params: [...sizes, "rows:u32", "isAhead:u32", "outOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  let width = min(2u * p.pairs, p.channels - 2u * p.firstPair);
  if (index >= p.rows * width) { return; }
  let own = index % width;
  let j = index / width;
  let value = source[select(j, p.count - 1u - j, p.isAhead == 1u) * p.pairs + own / 2u];
  out[p.outOffset + j * p.channels + 2u * p.firstPair + own] = select(value.x, value.y, own % 2u == 1u);`,
};
