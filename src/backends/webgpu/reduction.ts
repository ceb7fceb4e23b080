/**
 * WGSL of a sum over neighbouring threads of a workgroup: `groupSum(lane, value)` gives the total to all of them. Every thread must
 * call it.
 *
 * @param workgroup - a power of two
 * @param lanes - how many neighbours add up; default the whole workgroup
 */
export function groupSum(workgroup: number, lanes: number = workgroup): string {
  return groupReduction("groupSum", "left + right", workgroup, lanes);
}

/** WGSL of the largest value over the threads of a workgroup: `groupMax(lane, value)`. Every thread must call it. */
export function groupMax(workgroup: number): string {
  return groupReduction("groupMax", "max(left, right)", workgroup, workgroup);
}

function groupReduction(name: string, expression: string, workgroup: number, lanes: number): string {
  return `
var<workgroup> ${name}Parts: array<f32, ${workgroup}>;
fn ${name}(lane: u32, value: f32) -> f32 {
  ${name}Parts[lane] = value;
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half = half >> 1u) {
    if (lane % ${lanes}u < half) {
      let left = ${name}Parts[lane];
      let right = ${name}Parts[lane + half];
      ${name}Parts[lane] = ${expression};
    }
    workgroupBarrier();
  }
  let total = ${name}Parts[lane - lane % ${lanes}u];
  workgroupBarrier();
  return total;
}`;
}
