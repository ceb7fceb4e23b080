import { type Program, programNamed } from "../../backends/webgpu/index.ts";
import { CHUNK } from "./chunk.ts";
import type { Operands } from "./operands.webgpu.ts";
import {
  element,
  extensions,
  pieceParams,
  rowType,
  type ScanVariant,
  scanCode,
  stored,
  variantName,
} from "./pieces.webgpu.ts";
import { type StatePlaces, stateOutputs } from "./states.webgpu.ts";
import {
  carryThrough,
  coefficient,
  eachOwn,
  eachStep,
  getQuad,
  ownQuad,
  ownStep,
  putQuad,
  repeat,
  selections,
  shared,
  slotWords,
  stageTile,
  sumOverParts,
  type TileShape,
  tileStart,
} from "./tile.webgpu.ts";

/** Memory of a workgroup of that shape. */
export function forwardBytes(shape: TileShape): number {
  return 4 * (2 * slotWords(shape) + 16 * CHUNK * shape.parts);
}

/**
 * The whole scan at once: a workgroup goes through a sequence tile by tile. Its threads scan their steps from zero, the states are carried
 * from slot to slot, and the threads go through their steps again with the decays that they have.
 */
export function tileProgram(variant: ScanVariant, operands: Operands, places: StatePlaces, shape: TileShape): Program {
  const { columns, subgroup, threads } = shape;
  const key = `${variantName(variant, operands)} ${places.key}`;
  return programNamed(`selectiveScan tile ${columns} ${shape.steps} ${subgroup} ${key}`, () => {
    const { has } = variant;
    return {
      requires: extensions(variant, "subgroups"),
      bindings: [
        ...operands.bindings,
        { name: "y", type: rowType(variant), write: true },
        ...places.names.map((name) => ({ name, type: "f32", write: true }) as const),
      ],
      params: [
        ...pieceParams,
        ...operands.params,
        ...(["tiles:u32", "yOffset:u32", "chunks:u32"] as const),
        ...stateOutputs.map((name) => `${name}At:u32` as const),
      ],
      workgroup: threads,
      declarations: `${scanCode(variant, operands, false)}
var<workgroup> locals: array<f32, ${slotWords(shape)}>;
var<workgroup> decays: array<f32, ${slotWords(shape)}>;
${selections(variant)
  .map((name) => `var<workgroup> staged${name}: array<vec4<f32>, ${2 * CHUNK * shape.parts}>;`)
  .join("\n")}`,
      body: `
  let tile = group % p.tiles;
  let own = (group / p.tiles) % p.groups;
  let piece = 0u;
  let b = group / (p.tiles * p.groups);
  if (b >= p.batch) { return; }
  ${tileStart(variant, shape)}
  let A = LOG2_E * ${ownQuad(operands, variant, shape, "A", "c")};
  ${(["B", "C"] as const)
    .filter((name) => has.has(`constant${name}`))
    .map((name) => `let constant${name} = ${ownQuad(operands, variant, shape, `constant${name}`, "c")};`)
    .join("\n")}
  let skip = ${has.has("D") ? element(operands, "D", "0u", "c") : "0.0"};
  var carried = ${initialState(operands, variant)};
  for (var start = 0u; start < count; start += ${CHUNK}u) {
    ${tileSteps(variant, operands, places, shape)}
  }
  if (isChain && lane < ${4 * columns}u) { ${storeState(variant, places, "finalState", "b * p.channels + chainChannel")} }`,
    };
  });
}

function initialState(operands: Operands, { states, has }: ScanVariant): string {
  if (!has.has("initialState")) return "0.0";
  return element(operands, "initialState", "b * p.channels + chainChannel", `min(chainState, ${states - 1}u)`);
}

function storeState(
  { states }: ScanVariant,
  { bufferOf }: StatePlaces,
  name: "finalState" | "chunkStates",
  row: string,
): string {
  return `${bufferOf[name]}[p.${name}At + (${row}) * ${states}u + chainState] = carried;`;
}

/** Statements for one tile. B and C are staged in two places in turns: threads may still read the last tile's. */
function tileSteps(variant: ScanVariant, operands: Operands, places: StatePlaces, shape: TileShape): string {
  const { has } = variant;
  const { columns } = shape;
  const y = sumOverParts(shape, "sum", (s) => `y${s}`);
  return `
    ${has.has("chunkStates") ? `if (isChain && lane < ${4 * columns}u) { ${storeState(variant, places, "chunkStates", `(b * p.chunks + (first + start) / ${CHUNK}u) * p.channels + chainChannel`)} }` : ""}
    let stage = (start / ${CHUNK}u % 2u) * ${CHUNK * shape.parts}u;
    ${stageTile(operands, variant, shape)}
    ${eachOwn(
      shape,
      (m) => `${ownStep(shape, m)}
    let ownU${m} = ${element(operands, "u", `row${m}`, "c")};
    let ownDelta${m} = select(0.0, stepSize(row${m}, c), isStep${m});
    let ownEntering${m} = ownDelta${m} * ownU${m};
    ${has.has("z") ? `let z${m} = ${element(operands, "z", `row${m}`, "c")};` : ""}`,
    )}
    ${eachStep(
      shape,
      (s) => `
    let delta${s} = ${shared(shape, "ownDelta", s)};
    let entering${s} = ${shared(shape, "ownEntering", s)};`,
    )}
    workgroupBarrier();
    var h = vec4<f32>(0.0);
    ${eachStep(
      shape,
      (s) => `
    let less${s} = decayLess(delta${s} * A);
    h = fma(less${s}, h, fma(vec4<f32>(entering${s}), ${coefficient(variant, shape, "B", s)}, h));`,
    )}
    let decay = decayLess((${repeat(shape.steps, (s) => `delta${s}`, " + ")}) * A);
    ${putQuad(shape, "locals", "h")}
    ${putQuad(shape, "decays", "decay")}
    workgroupBarrier();
    if (lane < ${4 * columns}u) { ${carryThrough(shape, "locals", false)} }
    workgroupBarrier();
    h = ${getQuad(shape, "locals")};
    ${eachStep(
      shape,
      (s) => `
    h = fma(less${s}, h, fma(vec4<f32>(entering${s}), ${coefficient(variant, shape, "B", s)}, h));
    let y${s} = dot(${coefficient(variant, shape, "C", s)}, h);`,
    )}
    ${y.code}
    ${eachOwn(
      shape,
      (m) => `
    var out${m} = fma(skip, ownU${m}, ${y.own(m)});
    ${has.has("z") ? `out${m} *= z${m} * sigmoidOf(z${m});` : ""}
    if (isStep${m}) { y[p.yOffset + row${m} * p.channels + c] = ${stored(variant, `out${m}`)}; }`,
    )}`;
}
