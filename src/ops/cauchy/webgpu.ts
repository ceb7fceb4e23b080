import { groupSum, type Program, programNamed, type WebgpuKernel } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { complexCode, WORKGROUP } from "../fourier/transform.webgpu.ts";

/** WGSL: 1 / (2 i s - c w) with (c, s) the cosine and sine of half a node's angle. */
const poleCode = `${complexCode}
fn halfAngle(node: u32) -> vec2<f32> {
  let root = rootOf(node, 2u * p.length);
  return vec2<f32>(select(root.x, 0.0, 2u * node == p.length), -root.y);
}
fn poleOf(w: vec2<f32>, turn: vec2<f32>) -> vec2<f32> {
  let below = vec2<f32>(-turn.x * w.x, 2.0 * turn.y - turn.x * w.y);
  return conj(below) / dot(below, below);
}
fn residueOf(product: u32, c: u32, n: u32) -> vec2<f32> {
  let at = p.vOffset + product * p.vProduct + c * p.vChannel + n * p.vState;
  return vec2<f32>(v[at], v[at + 1u]);
}
fn numberOf(c: u32, n: u32) -> vec2<f32> {
  let at = p.wOffset + c * p.wChannel + n * p.wState;
  return vec2<f32>(w[at], w[at + 1u]);
}`;

const sizes = [
  ...(["products:u32", "channels:u32", "states:u32", "nodes:u32", "length:u32"] as const),
  ...([
    "vOffset:u32",
    "vProduct:u32",
    "vChannel:u32",
    "vState:u32",
    "wOffset:u32",
    "wChannel:u32",
    "wState:u32",
  ] as const),
];

/** A thread sums over the states at one node of one channel, for all products. */
function forwardProgram(products: number): Program {
  return programNamed(`cauchy ${products}`, () => ({
    bindings: [
      { name: "v", type: "f32" },
      { name: "w", type: "f32" },
      { name: "q", type: "f32", write: true },
    ],
    params: [...sizes, "qOffset:u32"],
    workgroup: WORKGROUP,
    declarations: poleCode,
    body: `
  if (index >= p.nodes * p.channels) { return; }
  let c = index % p.channels;
  let turn = halfAngle(index / p.channels);
  var sums: array<vec2<f32>, ${products}>;
  for (var n = 0u; n < p.states; n++) {
    let pole = numberOf(c, n);
    let own = poleOf(pole, turn);
    let other = poleOf(conj(pole), turn);
    for (var k = 0u; k < ${products}u; k++) {
      let residue = residueOf(k, c, n);
      sums[k] += times(residue, own) + times(conj(residue), other);
    }
  }
  for (var k = 0u; k < ${products}u; k++) {
    let at = p.qOffset + 2u * (k * p.nodes * p.channels + index);
    q[at] = sums[k].x;
    q[at + 1u] = sums[k].y;
  }`,
  }));
}

/** A workgroup sums over the nodes for one state of one channel. */
function backwardProgram(products: number): Program {
  return programNamed(`cauchyBackward ${products}`, () => ({
    bindings: [
      { name: "v", type: "f32" },
      { name: "w", type: "f32" },
      { name: "dq", type: "f32" },
      { name: "dv", type: "f32", write: true },
      { name: "dw", type: "f32", write: true },
    ],
    params: [
      ...sizes,
      ...(["dqOffset:u32", "dqProduct:u32", "dqNode:u32", "dqChannel:u32", "dvOffset:u32", "dwOffset:u32"] as const),
    ],
    workgroup: WORKGROUP,
    declarations: poleCode + groupSum(WORKGROUP),
    body: `
  let place = min(group, p.channels * p.states - 1u);
  let c = place / p.states;
  let n = place % p.states;
  let pole = numberOf(c, n);
  var sums: array<vec2<f32>, ${products + 1}>;
  for (var node = lane; node < p.nodes; node += ${WORKGROUP}u) {
    let turn = halfAngle(node);
    let own = poleOf(pole, turn);
    let other = poleOf(conj(pole), turn);
    let ownSquare = conj(times(own, own));
    let otherSquare = times(other, other);
    for (var k = 0u; k < ${products}u; k++) {
      let at = p.dqOffset + k * p.dqProduct + node * p.dqNode + c * p.dqChannel;
      let given = vec2<f32>(dq[at], dq[at + 1u]);
      sums[k] += times(given, conj(own)) + times(conj(given), other);
      let through = times(given, ownSquare) + times(conj(given), otherSquare);
      sums[${products}] += turn.x * times(conj(residueOf(k, c, n)), through);
    }
  }
  let isLast = lane == 0u && group < p.channels * p.states;
  for (var k = 0u; k <= ${products}u; k++) {
    let re = groupSum(lane, sums[k].x);
    let im = groupSum(lane, sums[k].y);
    if (isLast && k == ${products}u) {
      dw[p.dwOffset + 2u * place] = re;
      dw[p.dwOffset + 2u * place + 1u] = im;
    } else if (isLast) {
      let at = p.dvOffset + 2u * (k * p.channels * p.states + place);
      dv[at] = re;
      dv[at + 1u] = im;
    }
  }`,
  }));
}

function valuesOf({ inputs, axes, params }: KernelCall): Record<string, number> {
  const [v, w] = [inputs["v"]!, inputs["w"]!];
  const { products, channels, state } = axes as { products: number; channels: number; state: number };
  const length = params["length"] as number;
  return {
    ...{ products, channels, states: state, length, nodes: Math.floor(length / 2) + 1 },
    ...{ vOffset: v.offset, vProduct: v.strides[0]!, vChannel: v.strides[1]!, vState: v.strides[2]! },
    ...{ wOffset: w.offset, wChannel: w.strides[0]!, wState: w.strides[1]! },
  };
}

const cauchy: WebgpuKernel = (context, call) => {
  const q = call.outputs["q"]!;
  if (q.size === 0) return;
  const values = valuesOf(call);
  const groups = Math.ceil((values["nodes"]! * values["channels"]!) / WORKGROUP);
  const bound = [call.inputs["v"]!, call.inputs["w"]!, q];
  context.dispatch(forwardProgram(values["products"]!), bound, { ...values, qOffset: q.offset }, groups);
};

const cauchyBackward: WebgpuKernel = (context, call) => {
  const [v, w, dq] = ["v", "w", "dq"].map((name) => call.inputs[name]!) as [Tensor, Tensor, Tensor];
  const [dv, dw] = [call.outputs["dv"]!, call.outputs["dw"]!];
  if (dw.size === 0) return;
  const values = valuesOf(call);
  const [dqProduct, dqNode, dqChannel] = dq.strides as [number, number, number];
  const places = { dqOffset: dq.offset, dqProduct, dqNode, dqChannel, dvOffset: dv.offset, dwOffset: dw.offset };
  const program = backwardProgram(values["products"]!);
  context.dispatch(program, [v, w, dq, dv, dw], { ...values, ...places }, dw.size / 2);
};

/** WebGPU kernels of this folder. */
export const cauchyWebgpu = { cauchy, cauchyBackward } as const satisfies Record<string, WebgpuKernel>;
