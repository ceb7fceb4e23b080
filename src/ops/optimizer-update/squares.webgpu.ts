import { groupSum, type Program, programNamed, type WebgpuKernel } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { eachSlot, type Roles, SLOT_WORKGROUP, slotBindings, slotDispatches, slotParams } from "./slots.webgpu.ts";

const roles: Roles = { written: [], read: ["x"] };
/** Groups of four, or elements, whose squares one thread adds up. */
const EACH = 8;

function squaresProgram(slots: number, isWide: boolean): Program {
  return programNamed(`addSquaredNorm chunks ${slots}${isWide ? " by four" : ""}`, () => ({
    bindings: [...slotBindings(roles, slots, isWide), { name: "out", type: "f32", write: true }],
    params: [...slotParams(roles, slots), "outAt:u32", "groups:u32"],
    workgroup: SLOT_WORKGROUP,
    declarations: groupSum(SLOT_WORKGROUP),
    body: `
  var sum = ${isWide ? "vec4<f32>()" : "0.0"};
  ${eachSlot(
    slots,
    (k) => `
    for (var j = 0u; j < ${EACH}u; j++) {
      let i = (own * ${EACH}u + j) * ${SLOT_WORKGROUP}u + lane;
      if (i < p.count${k}) { let value = x${k}[p.xAt${k} + i]; sum = fma(value, value, sum); }
    }
  `,
  )}
  let total = groupSum(lane, ${isWide ? "(sum.x + sum.y) + (sum.z + sum.w)" : "sum"});
  if (lane == 0u && group < p.groups) { out[p.outAt + group] = total; }`,
  }));
}

const addProgram: Program = {
  name: "addSquaredNorm total",
  bindings: [
    { name: "x", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["chunks:u32", "outOffset:u32"],
  workgroup: SLOT_WORKGROUP,
  declarations: groupSum(SLOT_WORKGROUP),
  body: `
  var sum = 0.0;
  for (var i = lane; i < p.chunks; i += ${SLOT_WORKGROUP}u) { sum += x[i]; }
  let total = groupSum(lane, sum);
  if (index == 0u) { out[p.outOffset] += total; }`,
};

/** Sums of squares of chunks of all tensors, then of the chunks, in a fixed order. */
export const addSquaredNorm: WebgpuKernel = (context, { inputs }) => {
  const { total, ...parts } = inputs;
  const all = Object.values(parts).map((x) => ({ x: x as Tensor }));
  const dispatches = slotDispatches(context, roles, all, 1, SLOT_WORKGROUP * EACH);
  const chunks = dispatches.reduce((sum, { groups }) => sum + groups, 0);
  if (chunks === 0) return;
  const sums = context.scratch(4 * chunks);
  let outAt = 0;
  for (const { slots, isWide, bound, values, groups } of dispatches) {
    context.dispatch(squaresProgram(slots.length, isWide), [...bound, sums], { ...values, outAt, groups }, groups);
    outAt += groups;
  }
  context.dispatch(addProgram, [sums, total!], { chunks, outOffset: total!.offset }, 1);
};
