import { groupSum, type Program, type WebgpuKernel } from "../../backends/webgpu/index.ts";
import { LOW_RANK_ROWS } from "./operations.ts";

/** Lanes of a workgroup share the states of one feature of one row. */
const WORKGROUP = 32;

const names = ["u", "state", "system", "C", "D"] as const;

const program: Program = {
  name: "stateSpaceStep",
  bindings: [
    ...names.map((name) => ({ name, type: "f32" }) as const),
    { name: "y", type: "f32", write: true },
    { name: "next", type: "f32", write: true },
  ],
  params: [
    ...(["items:u32", "features:u32", "pairs:u32", "outputs:u32", "lowRank:u32"] as const),
    ...[...names, "y", "next"].map((name) => `${name}Offset:u32` as const),
  ],
  workgroup: WORKGROUP,
  declarations: `${groupSum(WORKGROUP)}
fn times(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}
fn ofSystem(p: Params, row: u32, place: u32) -> vec2<f32> {
  let at = p.systemOffset + 2u * (row * p.features * p.pairs + place);
  return vec2<f32>(system[at], system[at + 1u]);
}`,
  body: `
  let item = min(group, p.items - 1u);
  let feature = item % p.features;
  let given = u[p.uOffset + item];
  let fromX = p.stateOffset + 2u * item * p.pairs;
  let to = p.nextOffset + 2u * item * p.pairs;
  var part = 0.0;
  if (p.lowRank > 0u) {
    for (var n = lane; n < p.pairs; n += ${WORKGROUP}u) {
      let low = ofSystem(p, 3u, feature * p.pairs + n);
      part += low.x * state[fromX + 2u * n] + low.y * state[fromX + 2u * n + 1u];
    }
  }
  let before = 2.0 * groupSum(lane, part);
  part = 0.0;
  for (var n = lane; n < p.pairs; n += ${WORKGROUP}u) {
    let place = feature * p.pairs + n;
    let x = vec2<f32>(state[fromX + 2u * n], state[fromX + 2u * n + 1u]);
    var after = times(ofSystem(p, 0u, place), x) + ofSystem(p, 1u, place) * given;
    if (p.lowRank > 0u) {
      let low = ofSystem(p, 3u, place);
      after = times(ofSystem(p, 2u, place), after - low * before);
      part += low.x * after.x + low.y * after.y;
    }
    next[to + 2u * n] = after.x;
    next[to + 2u * n + 1u] = after.y;
  }
  let through = 2.0 * groupSum(lane, part);
  if (p.lowRank > 0u) {
    for (var n = lane; n < p.pairs; n += ${WORKGROUP}u) {
      let spread = ofSystem(p, 4u, feature * p.pairs + n);
      next[to + 2u * n] -= spread.x * through;
      next[to + 2u * n + 1u] -= spread.y * through;
    }
  }
  for (var output = 0u; output < p.outputs; output++) {
    let row = output * p.features + feature;
    var seen = 0.0;
    for (var n = lane; n < p.pairs; n += ${WORKGROUP}u) {
      let at = p.COffset + 2u * (row * p.pairs + n);
      seen += C[at] * next[to + 2u * n] - C[at + 1u] * next[to + 2u * n + 1u];
    }
    let total = 2.0 * groupSum(lane, seen);
    if (lane == 0u && group < p.items) {
      y[p.yOffset + (item / p.features * p.outputs + output) * p.features + feature] = total + D[p.DOffset + row] * given;
    }
  }`,
};

const stateSpaceStep: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [y, next] = [outputs["y"]!, outputs["next"]!];
  const { batch, features, pairs, outputs: channels, rows } = axes as Record<string, number>;
  const items = batch! * features!;
  if (items === 0) return;
  const bound = [...names.map((name) => inputs[name]!), y, next];
  const offsets = Object.fromEntries([...names, "y", "next"].map((name, i) => [`${name}Offset`, bound[i]!.offset]));
  const sizes = {
    items,
    features: features!,
    pairs: pairs!,
    outputs: channels!,
    lowRank: rows === LOW_RANK_ROWS ? 1 : 0,
  };
  context.dispatch(program, bound, { ...sizes, ...offsets }, items);
};

/** WebGPU kernels of this folder. */
export const stateSpaceStepWebgpu = { stateSpaceStep } as const satisfies Record<string, WebgpuKernel>;
