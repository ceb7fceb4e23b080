import { type Program, type WebgpuKernel, wgslMath } from "../../backends/webgpu/index.ts";
import { fillPart } from "../movement/webgpu.ts";
import { selectiveScanBackward } from "./backward.webgpu.ts";
import { CHUNK } from "./chunk.ts";
import { type ScanVariant, scanCode, scanOperands, scanParams, scanValues, variantName } from "./packed.webgpu.ts";

const WORKGROUP = 64;

/** A thread walks one channel of one sequence through time, its states in registers. */
function program(variant: ScanVariant, segments: boolean, chunks: boolean): Program {
  const { states, has } = variant;
  const store = (place: string): string =>
    `for (var n = 0u; n < ${states}u; n++) { kept[(${place}) * ${states}u + n] = h[n]; }`;
  const end = segments
    ? `if (current >= 0 && u32(current) < p.segments) { ${store("p.segmentsAt + (b * p.segments + u32(current)) * p.channels + c")} }`
    : "";
  return {
    name: `selectiveScan ${variantName(variant)}${segments ? " segments" : ""}${chunks ? " chunks" : ""}`,
    bindings: [
      { name: "small", type: "f32" },
      { name: "rows", type: "f32" },
      ...(has.has("B") || has.has("C") ? [{ name: "selection", type: "f32" } as const] : []),
      ...(has.has("segmentIds") ? [{ name: "ids", type: "i32" } as const] : []),
      { name: "y", type: "f32", write: true },
      { name: "kept", type: "f32", write: true },
    ],
    params: [...scanParams, "yOffset:u32", "segmentsAt:u32", "chunksAt:u32"],
    workgroup: WORKGROUP,
    declarations: wgslMath("exp", "expm1", "softplus", "sigmoid") + scanCode(variant),
    body: `
  if (index >= p.batch * p.channels) { return; }
  let c = index % p.channels;
  let b = index / p.channels;
  var h: array<f32, ${states}>;
  ${has.has("initialState") ? `for (var n = 0u; n < ${states}u; n++) { h[n] = small[p.initialStateOffset + index * ${states}u + n]; }` : ""}
  var current = -1;
  for (var i = 0u; i < p.length; i++) {
    let t = timeOf(i);
    let segment = segmentOf(b, i);
    let starts = current >= 0 && segment >= 0 && segment != current;
    if (starts) { ${end} }
    ${chunks ? `if (i % ${CHUNK}u == 0u) { ${store(`p.chunksAt + (b * p.chunks + i / ${CHUNK}u) * p.channels + c`)} }` : ""}
    if (starts) { for (var n = 0u; n < ${states}u; n++) { h[n] = 0.0; } }
    if (segment < 0) { y[p.yOffset + rowAt(b, t, c)] = 0.0; continue; }
    current = segment;
    let delta = stepSize(b, t, c);
    let u = rows[p.uOffset + rowAt(b, t, c)];
    var sum = ${has.has("D") ? "small[p.DOffset + c] * u" : "0.0"};
    for (var n = 0u; n < ${states}u; n++) {
      h[n] = decayed(delta * coefficientA(c, n), h[n]) + delta * u * coefficientB(b, t, c, n);
      sum = fma(coefficientC(b, t, c, n), h[n], sum);
    }
    ${has.has("z") ? "let z = rows[p.zOffset + rowAt(b, t, c)]; sum = sum * z * sigmoidOf(z);" : ""}
    y[p.yOffset + rowAt(b, t, c)] = sum;
  }
  ${end}
  ${store("index")}`,
  };
}

const selectiveScan: WebgpuKernel = (context, call) => {
  const { y, finalState, segmentStates, chunkStates } = call.outputs;
  const operands = scanOperands(context, call);
  const { variant, small, rows, selection, ids } = operands;
  if (finalState!.size === 0) return;
  const [final, segments, chunks] = [finalState, segmentStates, chunkStates].map((out) => out?.size ?? 0);
  const kept = context.scratch(4 * (final! + segments! + chunks!));
  // segments that do not occur leave no state
  if (segments) fillPart(context, kept, final!, segments, 0);
  const places = { segmentsAt: final! / variant.states, chunksAt: (final! + segments!) / variant.states };
  const own = program(variant, segmentStates !== undefined, chunkStates !== undefined);
  const bound = own.bindings.map(({ name }) => {
    const all = { small: small.bound, rows: rows.bound, selection: selection.bound, ids: ids?.bound, y, kept };
    return all[name as keyof typeof all]!;
  });
  const { batch, channels } = operands.sizes;
  const values = { ...scanValues(operands), ...places, yOffset: y!.offset };
  context.dispatch(own, bound, values, Math.ceil((batch * channels) / WORKGROUP));
  let at = 0;
  for (const out of [finalState, segmentStates, chunkStates]) {
    if (!out) continue;
    context.copy(kept, at, out, out.offset, out.size);
    at += out.size;
  }
};

/** WebGPU kernels of this folder. */
export const selectiveScanWebgpu = { selectiveScan, selectiveScanBackward } as const satisfies Record<
  string,
  WebgpuKernel
>;
