import type { Program, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { programNamed } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { type Locals, makeLocals } from "./carry.webgpu.ts";
import { type Operands, placeOperands } from "./operands.webgpu.ts";
import {
  eachQuad,
  element,
  extensions,
  type Pieces,
  pieceParams,
  quadOf,
  quadsOf,
  type ScanVariant,
  type SegmentMarks,
  STAGED,
  scanCode,
  stageCode,
  storeQuad,
  variantName,
  WORKGROUP,
} from "./pieces.webgpu.ts";

/** Steps whose loads are issued together. */
const TOGETHER = 4;

/**
 * The first phase: a thread walks one channel through one piece, from zero. Forward that is h = exp(delta A) h + delta u B; backward,
 * from the last step to the first, the adjoint of the state before a step, g = exp(delta A) (g + dy C).
 */
function localProgram(variant: ScanVariant, operands: Operands, backward: boolean): Program {
  return programNamed(`selectiveScan local${backward ? " backward" : ""} ${variantName(variant, operands)}`, () => {
    const { states, has } = variant;
    const ids = has.has("segmentIds");
    const selected = backward ? "C" : "B";
    const isConstant = has.has(`constant${selected}`);
    const quads = quadsOf(states);
    const each = (code: (quad: number) => string): string => eachQuad(states, code);
    const coefficient = (quad: number, step: number): string =>
      isConstant ? `constant${quad}` : `staged${selected}[(s + ${step}u) * ${quads}u + ${quad}u]`;
    const segmentGradient =
      backward && has.has("dSegmentStates")
        ? (segment: string) =>
            `if (u32(${segment}) < p.segments) { ${each((quad) => `h${quad} += ${quadOf(operands, "dSegmentStates", `(b * p.segments + u32(${segment})) * p.channels + c`, quad, states)};`)} }`
        : () => "";
    const steps = (code: (step: number) => string): string =>
      Array.from({ length: TOGETHER }, (_, j) => code(j)).join("");
    const rowValue = (step: number): string => {
      if (!backward) return element(operands, "u", `row${step}`, "c");
      const given = element(operands, "dy", `row${step}`, "c");
      if (!has.has("z")) return given;
      return `gated(${given}, ${element(operands, "z", `row${step}`, "c")})`;
    };
    return {
      requires: extensions(variant),
      bindings: [
        ...operands.bindings,
        ...(ids
          ? ([
              { name: "ids", type: "i32" },
              { name: "marks", type: "i32" },
            ] as const)
          : []),
        { name: "locals", type: "f32", write: true },
      ],
      params: [...pieceParams, ...operands.params, "idsOffset:u32", "sumsAt:u32", "tiles:u32"],
      workgroup: WORKGROUP,
      declarations: `${scanCode(variant, operands)}
fn gated(x: f32, z: f32) -> f32 { return x * z * sigmoidOf(z); }
${isConstant ? "" : `var<workgroup> staged${selected}: array<vec4<f32>, ${STAGED * quads}>;`}`,
      body: `
  let tile = group % (p.tiles * p.groups);
  let piece = (group / (p.tiles * p.groups)) % p.pieces;
  let b = group / (p.tiles * p.groups * p.pieces);
  if (b >= p.batch) { return; }
  let own = tile / p.tiles;
  let place = (tile % p.tiles) * ${WORKGROUP}u + lane;
  let c = own * p.width + min(place, p.width - 1u);
  let first = piece * p.pieceLength;
  let count = min(p.length, first + p.pieceLength) - first;
  ${each((quad) => `let A${quad} = LOG2_E * ${quadOf(operands, "A", "c", quad, states)}; var h${quad} = vec4<f32>(0.0);`)}
  ${isConstant ? each((quad) => `let constant${quad} = ${quadOf(operands, `constant${selected}`, "c", quad, states)};`) : ""}
  var sum = 0.0;
  ${ids ? "var current = -1;" : ""}
  for (var start = 0u; start < p.pieceLength; start += ${STAGED}u) {
    ${
      isConstant
        ? ""
        : `
    for (var i = lane; i < ${STAGED * quads}u; i += ${WORKGROUP}u) {
      let r = min(start + i / ${quads}u, count - 1u);
      let quad = i % ${quads}u;
      let row = (b * p.length + timeOf(first + ${backward ? "count - 1u - r" : "r"})) * p.groups + own;
      ${stageCode(operands, selected, states)}
    }
    workgroupBarrier();`
    }
    for (var s = 0u; s < ${STAGED}u; s += ${TOGETHER}u) {
      if (start + s >= count) { break; }
      ${steps(
        (j) => `
      let r${j} = min(start + s + ${j}u, count - 1u);
      let i${j} = first + ${backward ? `count - 1u - r${j}` : `r${j}`};
      let row${j} = b * p.length + timeOf(i${j});
      ${ids ? `let segment${j} = segmentOf(b, i${j});` : ""}
      let isStep${j} = start + s + ${j}u < count${ids ? ` && segment${j} >= 0` : ""};
      let delta${j} = select(0.0, stepSize(row${j}, c), isStep${j});
      let value${j} = select(0.0, ${rowValue(j)}, isStep${j});`,
      )}
      ${steps(
        (j) => `
      ${
        ids
          ? `if (isStep${j}) {
        if (current >= 0 && current != segment${j}) { ${each((quad) => `h${quad} = vec4<f32>(0.0);`)} ${segmentGradient(`segment${j}`)} }
        current = segment${j};
      }`
          : ""
      }
      sum += delta${j};
      ${each((quad) =>
        backward
          ? `{ let g = fma(vec4<f32>(value${j}), ${coefficient(quad, j)}, h${quad}); h${quad} = fma(decayLess(delta${j} * A${quad}), g, g); }`
          : `h${quad} = fma(decayLess(delta${j} * A${quad}), h${quad}, fma(vec4<f32>(delta${j} * value${j}), ${coefficient(quad, j)}, h${quad}));`,
      )}`,
      )}
    }
    ${isConstant ? "" : "workgroupBarrier();"}
  }
  ${
    ids && backward
      ? `let before = segmentBefore(b, piece);
  if (current >= 0 && before >= 0 && before != current) { ${each((quad) => `h${quad} = vec4<f32>(0.0);`)} ${segmentGradient("before")} }`
      : ""
  }
  if (place < p.width) {
    let at = (b * p.pieces + piece) * p.channels + c;
    ${each((quad) => storeQuad("locals", `(b * p.pieces + piece) * ${states}u * p.channels + c`, quad, states, `h${quad}`, "p.channels"))}
    locals[p.sumsAt + at] = sum;
  }`,
    };
  });
}

/** Enqueues the first phase. */
export function encodeLocal(
  context: WebgpuKernelContext,
  inputs: KernelCall["inputs"],
  variant: ScanVariant,
  pieces: Pieces,
  marks: SegmentMarks | undefined,
  backward = false,
): Locals {
  const names = backward
    ? ["delta", "dy", "z", "A", "deltaBias", "C", "constantC", "dSegmentStates"]
    : ["u", "delta", "A", "deltaBias", "B", "constantB"];
  const operands = placeOperands(context, inputs, names, marks ? 3 : 1);
  const program = localProgram(variant, operands, backward);
  const locals = makeLocals(context, pieces, variant.states);
  const tiles = Math.ceil(pieces.width / WORKGROUP);
  const bound = [...operands.bound, ...(marks ? [marks.ids, marks.marks] : []), locals.bound];
  const values = { ...pieces, ...operands.values, idsOffset: marks?.idsOffset ?? 0, sumsAt: locals.sumsAt, tiles };
  context.dispatch(program, bound, values, pieces.batch * pieces.pieces * pieces.groups * tiles);
  return locals;
}
