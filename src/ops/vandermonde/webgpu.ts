import { groupSum, type Program, type WebgpuKernel, wgslMath } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const WORKGROUP = 64;
/** Steps of a thread; powers of all but the first are products. */
const STEPS = 8;

/** WGSL: exp(t x). A float32 has no digits left of a large angle, so that turns are counted in 64 bits behind the point. */
const powerCode = `${wgslMath("exp", "trigonometry")}
fn product(a: u32, b: u32) -> vec2<u32> {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let one = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let two = (a & 0xffffu) * (b >> 16u) + (one & 0xffffu);
  return vec2<u32>((a >> 16u) * (b >> 16u) + (one >> 16u) + (two >> 16u), (two << 16u) | (low & 0xffffu));
}
// the part of x / 2 pi behind the point; 1 / 2 pi is in three words
fn turnsOf(x: f32) -> vec2<u32> {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  let shift = 150i - i32(bits >> 23u);
  if (shift >= 64) { return vec2<u32>(0u); }
  let mantissa = (bits & 0x7fffffu) | 0x800000u;
  let high = product(mantissa, 0x28be60dbu);
  let middle = product(mantissa, 0x9391054au);
  let low = product(mantissa, 0x7f09d5f4u);
  let third = middle.y + low.x;
  let carry = select(0u, 1u, third < low.x);
  let partial = high.y + middle.x;
  let second = partial + carry;
  let first = high.x + select(0u, 1u, partial < middle.x) + select(0u, 1u, second < partial);
  var turns: vec2<u32>;
  if (shift == 0) { turns = vec2<u32>(second, third); }
  else if (shift < 0) {
    let by = u32(min(-shift, 31));
    turns = vec2<u32>((second << by) | (third >> (32u - by)), third << by);
  } else if (shift < 32) {
    let by = u32(shift);
    turns = vec2<u32>((first << (32u - by)) | (second >> by), (second << (32u - by)) | (third >> by));
  } else if (shift == 32) { turns = vec2<u32>(first, second); }
  else {
    let by = u32(shift - 32);
    turns = vec2<u32>(first >> by, (first << (32u - by)) | (second >> by));
  }
  if (x >= 0.0) { return turns; }
  let negative = ~turns.y + 1u;
  return vec2<u32>(~turns.x + select(0u, 1u, negative == 0u), negative);
}
fn powerOf(t: u32, decay: f32, turns: vec2<u32>) -> vec2<f32> {
  let angle = f32(bitcast<i32>(t * turns.x + product(t, turns.y).x)) * 1.46291808e-9;
  return expOf(f32(t) * decay) * vec2<f32>(turned(angle, 1), turned(angle, 0));
}
fn times(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}`;

const operands = ["v", "x"].flatMap((name) => [`${name}Offset:u32`, `${name}Channel:u32`, `${name}State:u32`] as const);
const sizes = ["channels:u32", "states:u32", "length:u32", "factor:f32", ...operands] as const;

const forward: Program = {
  name: "vandermonde",
  bindings: [
    { name: "v", type: "f32" },
    { name: "x", type: "f32" },
    { name: "k", type: "f32", write: true },
  ],
  params: [...sizes, "kOffset:u32"],
  workgroup: WORKGROUP,
  declarations: powerCode,
  body: `
  let c = index % p.channels;
  let first = index / p.channels * ${STEPS}u;
  if (first >= p.length) { return; }
  var sums: array<f32, ${STEPS}>;
  for (var n = 0u; n < p.states; n++) {
    let ofV = p.vOffset + c * p.vChannel + n * p.vState;
    let ofX = p.xOffset + c * p.xChannel + n * p.xState;
    let decay = x[ofX];
    let turns = turnsOf(x[ofX + 1u]);
    let step = powerOf(1u, decay, turns);
    var term = times(vec2<f32>(v[ofV], v[ofV + 1u]), powerOf(first, decay, turns));
    for (var t = 0u; t < ${STEPS}u; t++) {
      sums[t] += term.x;
      term = times(term, step);
    }
  }
  for (var t = 0u; t < ${STEPS}u && first + t < p.length; t++) {
    k[p.kOffset + (first + t) * p.channels + c] = p.factor * sums[t];
  }`,
};

/** A workgroup sums over time for one term. */
const backward: Program = {
  name: "vandermondeBackward",
  bindings: [
    { name: "v", type: "f32" },
    { name: "x", type: "f32" },
    { name: "dk", type: "f32" },
    { name: "dv", type: "f32", write: true },
    { name: "dx", type: "f32", write: true },
  ],
  params: [...sizes, "dkOffset:u32", "dkRow:u32", "dvOffset:u32", "dxOffset:u32"],
  workgroup: WORKGROUP,
  declarations: powerCode + groupSum(WORKGROUP),
  body: `
  let place = min(group, p.channels * p.states - 1u);
  let c = place / p.states;
  let n = place % p.states;
  let ofV = p.vOffset + c * p.vChannel + n * p.vState;
  let ofX = p.xOffset + c * p.xChannel + n * p.xState;
  let decay = x[ofX];
  let turns = turnsOf(x[ofX + 1u]);
  var sum = vec2<f32>(0.0);
  var slope = vec2<f32>(0.0);
  for (var t = lane; t < p.length; t += ${WORKGROUP}u) {
    let power = powerOf(t, decay, turns);
    let given = dk[p.dkOffset + t * p.dkRow + c] * vec2<f32>(power.x, -power.y);
    sum += given;
    slope += f32(t) * given;
  }
  let re = groupSum(lane, sum.x);
  let im = groupSum(lane, sum.y);
  let slopeRe = groupSum(lane, slope.x);
  let slopeIm = groupSum(lane, slope.y);
  if (lane > 0u || group >= p.channels * p.states) { return; }
  let own = times(vec2<f32>(v[ofV], -v[ofV + 1u]), vec2<f32>(slopeRe, slopeIm));
  dv[p.dvOffset + 2u * place] = p.factor * re;
  dv[p.dvOffset + 2u * place + 1u] = p.factor * im;
  dx[p.dxOffset + 2u * place] = p.factor * own.x;
  dx[p.dxOffset + 2u * place + 1u] = p.factor * own.y;`,
};

function valuesOf({ inputs, axes, params }: KernelCall): Record<string, number> {
  const places = (name: string, { offset, strides }: Tensor): Record<string, number> => ({
    [`${name}Offset`]: offset,
    [`${name}Channel`]: strides[0]!,
    [`${name}State`]: strides[1]!,
  });
  return {
    ...{ channels: axes["channels"]!, states: axes["state"]!, length: axes["length"]! },
    ...{ factor: params["conjugate"] ? 2 : 1, ...places("v", inputs["v"]!), ...places("x", inputs["x"]!) },
  };
}

const vandermonde: WebgpuKernel = (context, call) => {
  const { inputs, outputs } = call;
  const k = outputs["k"]!;
  if (k.size === 0) return;
  const values = valuesOf(call);
  const threads = values["channels"]! * Math.ceil(values["length"]! / STEPS);
  const bound = [inputs["v"]!, inputs["x"]!, k];
  context.dispatch(forward, bound, { ...values, kOffset: k.offset }, Math.ceil(threads / WORKGROUP));
};

const vandermondeBackward: WebgpuKernel = (context, call) => {
  const [v, x, dk] = ["v", "x", "dk"].map((name) => call.inputs[name]!) as [Tensor, Tensor, Tensor];
  const [dv, dx] = [call.outputs["dv"]!, call.outputs["dx"]!];
  if (dv.size === 0) return;
  const places = { dkOffset: dk.offset, dkRow: dk.strides[0]!, dvOffset: dv.offset, dxOffset: dx.offset };
  context.dispatch(backward, [v, x, dk, dv, dx], { ...valuesOf(call), ...places }, dv.size / 2);
};

/** WebGPU kernels of this folder. */
export const vandermondeWebgpu = { vandermonde, vandermondeBackward } as const satisfies Record<string, WebgpuKernel>;
