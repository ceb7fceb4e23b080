import { type Program, programNamed } from "../../backends/webgpu/index.ts";
import { CHUNK } from "./chunk.ts";
import type { Operands } from "./operands.webgpu.ts";
import {
  eachQuad,
  element,
  extensions,
  pieceParams,
  quadOf,
  quadsOf,
  rowType,
  type ScanVariant,
  STAGED,
  scanCode,
  stageCode,
  stored,
  storeQuad,
  variantName,
  WORKGROUP,
} from "./pieces.webgpu.ts";
import { type StatePlaces, stateOutputs } from "./states.webgpu.ts";

/** Steps whose loads are issued together. */
const TOGETHER = 4;
/**
 * The last phase: a thread walks one channel through one piece from the state that comes into it, and writes y and the states that
 * are asked for. With a single piece it is all there is to do.
 */
export function finalProgram(
  variant: ScanVariant,
  operands: Operands,
  places: StatePlaces,
  isSingle: boolean,
): Program {
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
        requires: extensions(variant),
        bindings: [
          ...operands.bindings,
          ...(isSingle ? [] : [{ name: "entries", type: "f32" } as const]),
          ...(ids
            ? ([
                { name: "ids", type: "i32" },
                { name: "marks", type: "i32" },
              ] as const)
            : []),
          { name: "y", type: rowType(variant), write: true },
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
      if (isInside && isThere${j}) { y[p.yOffset + row${j} * p.channels + c] = ${stored(variant, `select(0.0, y${j}, isStep${j})`)}; }`,
      )}
    }
    ${staged.length === 0 ? "" : "workgroupBarrier();"}
  }
  if (piece + 1u == p.pieces) { ${segmentEnd} ${isSingle ? store("finalState", "b * p.channels + c") : ""} }`,
      };
    },
  );
}
