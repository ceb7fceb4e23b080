import {
  type GpuMemory,
  type Program,
  programNamed,
  type WebgpuKernelContext,
  wgslMath,
} from "../../backends/webgpu/index.ts";

export const WORKGROUP = 64;

/** WGSL: exp(-2 pi i k / count), the angle counted exactly from the nearest quarter of a turn; products of complex numbers. */
export const complexCode = `${wgslMath("trigonometry")}
fn rootOf(k: u32, count: u32) -> vec2<f32> {
  let quarter = (8u * k + count) / (2u * count);
  let angle = f32(i32(4u * k) - i32(quarter * count)) / f32(count) * 1.57079633;
  return vec2<f32>(turned(angle, i32(quarter) + 1), -turned(angle, i32(quarter)));
}
fn conj(a: vec2<f32>) -> vec2<f32> { return vec2<f32>(a.x, -a.y); }
fn times(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}`;

/** One round of a transform: sub-transforms of `span` elements become some of `radix` times that. */
function passProgram(radix: 2 | 4, isInverse: boolean): Program {
  return programNamed(`fourier pass ${radix}${isInverse ? " inverse" : ""}`, () => {
    const root = (r: number): string => `${isInverse ? "conj" : ""}(rootOf(${r}u * within, p.span * ${radix}u))`;
    const loads = Array.from({ length: radix }, (_, r) => {
      const at = `source[(j + ${r}u * (p.count / ${radix}u)) * p.columns + column]`;
      return `let v${r} = ${r === 0 ? at : `times(${at}, ${root(r)})`};`;
    });
    const turned = isInverse ? "vec2<f32>(-d.y, d.x)" : "vec2<f32>(d.y, -d.x)";
    const results =
      radix === 2
        ? ["v0 + v1", "v0 - v1"]
        : ["(v0 + v2) + (v1 + v3)", `(v0 - v2) + ${turned}`, "(v0 + v2) - (v1 + v3)", `(v0 - v2) - ${turned}`];
    return {
      bindings: [
        { name: "source", type: "vec2<f32>" },
        { name: "target_", type: "vec2<f32>", write: true },
      ],
      params: ["count:u32", "columns:u32", "span:u32"],
      workgroup: WORKGROUP,
      declarations: complexCode,
      body: `
  if (index >= p.count / ${radix}u * p.columns) { return; }
  let column = index % p.columns;
  let j = index / p.columns;
  let within = j % p.span;
  ${loads.join("\n  ")}
  ${radix === 4 ? "let d = v1 - v3;" : ""}
  let to = (j - within) * ${radix}u + within;
  ${results.map((value, r) => `target_[(to + ${r}u * p.span) * p.columns + column] = ${value};`).join("\n  ")}`,
    };
  });
}

/** Complex sequences side by side: [count columns], and room for as many. */
export interface Sequences {
  data: GpuMemory;
  spare: GpuMemory;
  /** A power of two. */
  readonly count: number;
  readonly columns: number;
}

export function makeSequences(context: WebgpuKernelContext, count: number, columns: number): Sequences {
  const bytes = 8 * count * columns;
  return { data: context.scratch(bytes), spare: context.scratch(bytes), count, columns };
}

/** Exchanges the sequences and their spare room, after a program has written there. */
export function exchange(sequences: Sequences): void {
  [sequences.data, sequences.spare] = [sequences.spare, sequences.data];
}

/** Transforms over the first axis, frequencies in their order; the inverse is not divided by the count. */
export function encodeTransform(context: WebgpuKernelContext, sequences: Sequences, isInverse: boolean): void {
  const { count, columns } = sequences;
  for (let span = 1; span < count; ) {
    const radix = count / span >= 4 ? 4 : 2;
    const groups = Math.ceil(((count / radix) * columns) / WORKGROUP);
    context.dispatch(
      passProgram(radix, isInverse),
      [sequences.data, sequences.spare],
      { count, columns, span },
      groups,
    );
    exchange(sequences);
    span *= radix;
  }
}
