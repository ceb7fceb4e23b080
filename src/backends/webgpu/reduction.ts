/**
 * WGSL of a sum over the threads of a workgroup: `groupSum(lane, value)` gives the total to all of them. Every thread must call it.
 *
 * @param workgroup - a power of two
 */
export function groupSum(workgroup: number): string {
  return groupReduction("groupSum", "left + right", workgroup);
}

/** WGSL of the largest value over the threads of a workgroup: `groupMax(lane, value)`. Every thread must call it. */
export function groupMax(workgroup: number): string {
  return groupReduction("groupMax", "max(left, right)", workgroup);
}

function groupReduction(name: string, expression: string, workgroup: number): string {
  return `
var<workgroup> ${name}Parts: array<f32, ${workgroup}>;
fn ${name}(lane: u32, value: f32) -> f32 {
  ${name}Parts[lane] = value;
  workgroupBarrier();
  for (var half = ${workgroup / 2}u; half > 0u; half = half >> 1u) {
    if (lane < half) {
      let left = ${name}Parts[lane];
      let right = ${name}Parts[lane + half];
      ${name}Parts[lane] = ${expression};
    }
    workgroupBarrier();
  }
  let total = ${name}Parts[0];
  workgroupBarrier();
  return total;
}`;
}
