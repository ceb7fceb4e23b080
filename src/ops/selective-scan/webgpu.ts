import type { Bound, Program, WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { programNamed } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { fillPart } from "../movement/webgpu.ts";
import { selectiveScanBackward } from "./backward.webgpu.ts";
import { encodeCarry } from "./carry.webgpu.ts";
import { CHUNK } from "./chunk.ts";
import { encodeLocal } from "./local.webgpu.ts";
import { type Operands, placeOperands } from "./operands.webgpu.ts";
import {
  eachQuad,
  element,
  markSegments,
  type Pieces,
  pieceParams,
  piecesOf,
  quadOf,
  quadsOf,
  type ScanVariant,
  type SegmentMarks,
  STAGED,
  scanCode,
  stageCode,
  storeQuad,
  variantName,
  variantOf,
  WORKGROUP,
} from "./pieces.webgpu.ts";

/** Steps whose loads are issued together. */
const TOGETHER = 4;
/** Threads that fill a large card; a scan is cut finer until it has as many. */
const WANTED_THREADS = 2 ** 18;
const PIECE_LENGTHS = [256, 128, 64, 32];

/** Outputs besides y, in the order in which they lie where they share a buffer. */
const stateOutputs = ["finalState", "segmentStates", "chunkStates"] as const;

/**
 * The last phase: a thread walks one channel through one piece from the state that comes into it, and writes y and the states that
 * are asked for. With a single piece it is all there is to do.
 */
function finalProgram(variant: ScanVariant, operands: Operands, places: StatePlaces, isSingle: boolean): Program {
  return programNamed(
    `selectiveScan final${isSingle ? " single" : ""} ${variantName(variant, operands)} ${places.key}`,
    () => {
      const { states, has } = variant;
      const ids = has.has("segmentIds");
      const quads = quadsOf(states);
      const each = (code: (quad: number) => string): string => eachQuad(states, code);
      const coefficient = (name: "B" | "C", quad: number, step: number): string =>
        has.has(`constant${name}`) ? `constant${name}${quad}` : `staged${name}[(s + ${step}u) * ${quads}u + ${quad}u]`;
      const staged = (["B", "C"] as const).filter((name) => !has.has(`constant${name}`));
      const steps = (code: (step: number) => string): string =>
        Array.from({ length: TOGETHER }, (_, j) => code(j)).join("");
      const store = (name: (typeof stateOutputs)[number], row: string): string =>
        `if (isInside) { let at = p.${name}At + (${row}) * ${states}u; ${each((quad) => storeQuad(places.bufferOf[name]!, "at", quad, states, `h${quad}`))} }`;
      const segmentEnd = has.has("segmentStates")
        ? `if (current >= 0 && u32(current) < p.segments) { ${store("segmentStates", "(b * p.segments + u32(current)) * p.channels + c")} }`
        : "";
      const entry = (quad: number): string => {
        if (!isSingle) {
          const parts = Array.from({ length: 4 }, (_, k) =>
            4 * quad + k < states ? `entries[entryAt + ${4 * quad + k}u * p.channels]` : "0.0",
          );
          return `vec4<f32>(${parts.join(", ")})`;
        }
        return has.has("initialState")
          ? quadOf(operands, "initialState", "b * p.channels + c", quad, states)
          : "vec4<f32>(0.0)";
      };
      return {
        bindings: [
          ...operands.bindings,
          ...(isSingle ? [] : [{ name: "entries", type: "f32" } as const]),
          ...(ids
            ? ([
                { name: "ids", type: "i32" },
                { name: "marks", type: "i32" },
              ] as const)
            : []),
          { name: "y", type: "f32", write: true },
          ...places.names.map((name) => ({ name, type: "f32", write: true }) as const),
        ],
        params: [
          ...pieceParams,
          ...operands.params,
          ...(["idsOffset:u32", "tiles:u32", "yOffset:u32", "chunks:u32"] as const),
          ...stateOutputs.map((name) => `${name}At:u32` as const),
        ],
        workgroup: WORKGROUP,
        declarations: `${scanCode(variant, operands)}
${staged.map((name) => `var<workgroup> staged${name}: array<vec4<f32>, ${STAGED * quads}>;`).join("\n")}`,
        body: `
  let tile = group % (p.tiles * p.groups);
  let piece = (group / (p.tiles * p.groups)) % p.pieces;
  let b = group / (p.tiles * p.groups * p.pieces);
  if (b >= p.batch) { return; }
  let own = tile / p.tiles;
  let place = (tile % p.tiles) * ${WORKGROUP}u + lane;
  let isInside = place < p.width;
  let c = own * p.width + min(place, p.width - 1u);
  let first = piece * p.pieceLength;
  let count = min(p.length, first + p.pieceLength) - first;
  ${isSingle ? "" : `let entryAt = (b * p.pieces + piece) * ${states}u * p.channels + c;`}
  ${each((quad) => `let A${quad} = LOG2_E * ${quadOf(operands, "A", "c", quad, states)}; var h${quad} = ${entry(quad)};`)}
  ${(["B", "C"] as const)
    .filter((name) => has.has(`constant${name}`))
    .map((name) =>
      each((quad) => `let constant${name}${quad} = ${quadOf(operands, `constant${name}`, "c", quad, states)};`),
    )
    .join("\n")}
  let skip = ${has.has("D") ? element(operands, "D", "0u", "c") : "0.0"};
  var current = ${ids ? "segmentBefore(b, piece)" : "0"};
  for (var start = 0u; start < count; start += ${STAGED}u) {
    ${has.has("chunkStates") ? `if ((first + start) % ${CHUNK}u == 0u) { ${store("chunkStates", `(b * p.chunks + (first + start) / ${CHUNK}u) * p.channels + c`)} }` : ""}
    ${
      staged.length === 0
        ? ""
        : `
    for (var i = lane; i < ${STAGED * quads}u; i += ${WORKGROUP}u) {
      let quad = i % ${quads}u;
      let row = (b * p.length + timeOf(first + min(start + i / ${quads}u, count - 1u))) * p.groups + own;
      ${staged.map((name) => stageCode(operands, name, states)).join("\n")}
    }
    workgroupBarrier();`
    }
    for (var s = 0u; s < ${STAGED}u; s += ${TOGETHER}u) {
      if (start + s >= count) { break; }
      ${steps(
        (j) => `
      let i${j} = first + min(start + s + ${j}u, count - 1u);
      let row${j} = b * p.length + timeOf(i${j});
      let isThere${j} = start + s + ${j}u < count;
      ${ids ? `let segment${j} = segmentOf(b, i${j});` : ""}
      let isStep${j} = isThere${j}${ids ? ` && segment${j} >= 0` : ""};
      let delta${j} = select(0.0, stepSize(row${j}, c), isStep${j});
      let u${j} = ${element(operands, "u", `row${j}`, "c")};
      ${has.has("z") ? `let z${j} = ${element(operands, "z", `row${j}`, "c")};` : ""}`,
      )}
      ${steps(
        (j) => `
      ${
        ids
          ? `if (isStep${j}) {
        if (current >= 0 && current != segment${j}) { ${segmentEnd} ${each((quad) => `h${quad} = vec4<f32>(0.0);`)} }
        current = segment${j};
      }`
          : ""
      }
      let entering${j} = vec4<f32>(delta${j} * u${j});
      ${each((quad) => `h${quad} = fma(decayLess(delta${j} * A${quad}), h${quad}, fma(entering${j}, ${coefficient("B", quad, j)}, h${quad}));`)}
      var sums${j} = ${coefficient("C", 0, j)} * h0;
      ${Array.from({ length: quads - 1 }, (_, k) => `sums${j} = fma(${coefficient("C", k + 1, j)}, h${k + 1}, sums${j});`).join("\n")}
      var y${j} = fma(skip, u${j}, (sums${j}.x + sums${j}.y) + (sums${j}.z + sums${j}.w));
      ${has.has("z") ? `y${j} *= z${j} * sigmoidOf(z${j});` : ""}
      if (isInside && isThere${j}) { y[p.yOffset + row${j} * p.channels + c] = select(0.0, y${j}, isStep${j}); }`,
      )}
    }
    ${staged.length === 0 ? "" : "workgroupBarrier();"}
  }
  if (piece + 1u == p.pieces) { ${segmentEnd} ${isSingle ? store("finalState", "b * p.channels + c") : ""} }`,
      };
    },
  );
}

/** Where states go: each to its tensor, or one behind another in scratch where the device binds few buffers. */
interface StatePlaces {
  readonly names: readonly string[];
  readonly bound: readonly Bound[];
  readonly bufferOf: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, number>>;
  readonly key: string;
}

function placeStates(
  context: WebgpuKernelContext,
  { outputs }: KernelCall,
  wanted: readonly string[],
  isPacked: boolean,
): StatePlaces {
  const values: Record<string, number> = Object.fromEntries(stateOutputs.map((name) => [`${name}At`, 0]));
  const key = `${wanted.join(" ")}${isPacked ? " packed" : ""}`;
  if (!isPacked) {
    for (const name of wanted) values[`${name}At`] = outputs[name]!.offset;
    const bufferOf = Object.fromEntries(wanted.map((name) => [name, name]));
    return { names: wanted, bound: wanted.map((name) => outputs[name]!), bufferOf, values, key };
  }
  let size = 0;
  for (const name of wanted) {
    values[`${name}At`] = size;
    size += outputs[name]!.size;
  }
  const bufferOf = Object.fromEntries(wanted.map((name) => [name, "kept"]));
  return { names: ["kept"], bound: [context.scratch(4 * size)], bufferOf, values, key };
}

function pieceLengthOf({ axes }: KernelCall): number {
  const { batch, length, channels } = axes as Record<"batch" | "length" | "channels", number>;
  if (length <= 2 * STAGED) return 2 * STAGED;
  const isEnough = (steps: number): boolean => batch * channels * Math.ceil(length / steps) >= WANTED_THREADS;
  return PIECE_LENGTHS.find(isEnough) ?? PIECE_LENGTHS.at(-1)!;
}

const selectiveScan: WebgpuKernel = (context, call) => {
  const { inputs, outputs } = call;
  const { finalState } = outputs;
  if (finalState!.size === 0) return;
  const given = variantOf(call);
  const wantedStates = stateOutputs.filter((name) => outputs[name]);
  const variant = { ...given, has: new Set([...given.has, ...wantedStates]) };
  const pieces = piecesOf(call, pieceLengthOf(call));
  const marks = markSegments(context, call, variant, pieces);
  const isSingle = pieces.pieces === 1;
  let entries: Bound | undefined;
  if (!isSingle) {
    const locals = encodeLocal(context, inputs, variant, pieces, marks);
    encodeCarry(context, inputs, variant, pieces, locals, marks, { bound: finalState!, offset: finalState!.offset });
    entries = locals.bound;
  }
  encodeFinal(context, call, { variant, pieces, marks, entries });
};

interface FinalPhase {
  readonly variant: ScanVariant;
  readonly pieces: Pieces;
  readonly marks: SegmentMarks | undefined;
  /** States that come into pieces; undefined if there is one piece. */
  readonly entries: Bound | undefined;
}

function encodeFinal(context: WebgpuKernelContext, call: KernelCall, phase: FinalPhase): void {
  const { inputs, outputs, axes } = call;
  const { variant, pieces, marks, entries } = phase;
  const names = ["u", "delta", "z", "A", "D", "deltaBias", "B", "constantB", "C", "constantC"];
  const wanted = stateOutputs.filter((name) => outputs[name] && (name !== "finalState" || !entries));
  const others = 1 + (marks ? 2 : 0) + (entries ? 1 : 0);
  const read = entries ? names : [...names, "initialState"];
  const operands = placeOperands(context, inputs, read, others + wanted.length);
  const isPacked = operands.bindings.length + others + wanted.length > context.limits.maxStorageBuffersPerShaderStage;
  const places = placeStates(context, call, wanted, isPacked);
  const program = finalProgram(variant, operands, places, !entries);
  const { y, segmentStates } = outputs;
  if (segmentStates) {
    // segments that do not occur leave no state
    const bound = places.bound[places.names.indexOf(places.bufferOf["segmentStates"]!)]!;
    fillPart(context, bound, places.values["segmentStatesAt"]!, segmentStates.size, 0);
  }
  const tiles = Math.ceil(pieces.width / WORKGROUP);
  const bound = [...operands.bound, ...(entries ? [entries] : []), ...(marks ? [marks.ids, marks.marks] : [])];
  const values = { ...pieces, ...operands.values, ...places.values, chunks: axes["chunks"]! };
  context.dispatch(
    program,
    [...bound, y!, ...places.bound],
    { ...values, idsOffset: marks?.idsOffset ?? 0, tiles, yOffset: y!.offset },
    pieces.batch * pieces.pieces * pieces.groups * tiles,
  );
  if (!isPacked) return;
  for (const name of wanted) {
    const out = outputs[name]!;
    context.copy(places.bound[0]!, places.values[`${name}At`]!, out, out.offset, out.size);
  }
}

/** WebGPU kernels of this folder. */
export const selectiveScanWebgpu = { selectiveScan, selectiveScanBackward } as const satisfies Record<
  string,
  WebgpuKernel
>;
