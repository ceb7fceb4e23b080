import { type Program, programNamed } from "../../backends/webgpu/index.ts";
import { partialCode, perRow, placeOfGroup, sweepBindings, sweepParams } from "./backward-shape.webgpu.ts";
import { CHUNK } from "./chunk.ts";
import type { Operands } from "./operands.webgpu.ts";
import { element, extensions, type ScanVariant, scanCode, stored, variantName } from "./pieces.webgpu.ts";
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
import { joinedWords, type SelectionSums, selectionSums } from "./tile-sums.webgpu.ts";

/** Memory of a workgroup of that shape. */
export function backBytes(shape: TileShape): number {
  return 4 * (3 * slotWords(shape) + 8 * CHUNK * shape.parts + joinedWords(shape));
}

/** What the text of a program is made from. */
interface Making {
  readonly variant: ScanVariant;
  readonly operands: Operands;
  readonly shape: TileShape;
  readonly isPacked: boolean;
  readonly sums: SelectionSums | undefined;
}

const constants = ({ has }: ScanVariant): ("B" | "C")[] =>
  (["B", "C"] as const).filter((name) => has.has(`constant${name}`));

/**
 * The last phase of backward by tiles: a workgroup goes through a piece from its last tile to its first. In each, states are scanned from the
 * saved one that comes in and adjoints from the one that comes back, both from slot to slot at once; then each thread goes through its
 * steps, forward for the states and back for the gradients, with the decays that it has.
 */
export function tileBackProgram(
  variant: ScanVariant,
  operands: Operands,
  shape: TileShape,
  isPacked: boolean,
  isWhole: boolean,
): Program {
  const { columns, subgroup } = shape;
  const key = `${variantName(variant, operands)}${isPacked ? " packed results" : ""}${isWhole ? " whole" : ""}`;
  const initial = isWhole && variant.has.has("dInitialState");
  return programNamed(
    `selectiveScan tile back ${columns} ${shape.steps} ${subgroup} ${key}${initial ? " initial" : ""}`,
    () => {
      const { has, states } = variant;
      const sums = selectionSums(selections(variant), shape, states);
      const making = { variant, operands, shape, isPacked, sums };
      const rows = perRow.filter((name) => name !== "dz" || has.has("z"));
      const staged = selections(variant);
      const adjoints = initial ? "write" : isWhole ? "none" : "read";
      return {
        requires: extensions(variant, "subgroups"),
        bindings: sweepBindings(variant, operands, isPacked ? ["results"] : rows, adjoints),
        params: [...sweepParams(operands), "chunks:u32", "adjointsAt:u32"],
        workgroup: shape.threads,
        declarations: `${scanCode(variant, operands, false)}${partialCode}
var<workgroup> states: array<f32, ${slotWords(shape)}>;
var<workgroup> adjointsOf: array<f32, ${slotWords(shape)}>;
var<workgroup> decays: array<f32, ${slotWords(shape)}>;
${staged.map((name) => `var<workgroup> staged${name}: array<vec4<f32>, ${CHUNK * shape.parts}>;`).join("\n")}
${sums?.declarations ?? ""}`,
        body: `${placeOfGroup}
  ${tileStart(variant, shape)}
  let state = (b * p.pieces + piece) * p.channels + c;
  let adjointAt = ((b * p.pieces + piece) * ${states}u + min(chainState, ${states - 1}u)) * p.channels + chainChannel;
  let A = LOG2_E * ${ownQuad(operands, variant, shape, "A", "c")};
  var ofA = vec4<f32>(0.0);
  ${constants(variant)
    .map(
      (name) => `let constant${name} = ${ownQuad(operands, variant, shape, `constant${name}`, "c")};
  var ofConstant${name} = vec4<f32>(0.0);`,
    )
    .join("\n")}
  let skip = ${has.has("D") ? element(operands, "D", "0u", "c") : "0.0"};
  var ofD = 0.0;
  var ofBias = 0.0;
  let stage = 0u;
  let isForth = lane < ${4 * columns}u;
  let isBack = lane >= ${4 * columns}u && lane < ${8 * columns}u;
  var adjoint = ${adjointEntry(making, isWhole)};
  ${sums?.start ?? ""}
  for (var left = (count + ${CHUNK - 1}u) / ${CHUNK}u; left > 0u; left--) {
    let start = (left - 1u) * ${CHUNK}u;
    ${carries(making)}
    ${back(making)}
    ${sums?.end ?? ""}
  }
  ${initial ? `if (isBack && isChain) { adjoints[p.adjointsAt + (b * p.channels + chainChannel) * ${states}u + chainState] = adjoint; }` : ""}
  ${piecesEnd(making)}`,
      };
    },
  );
}

function adjointEntry({ variant, operands }: Making, isWhole: boolean): string {
  if (!isWhole) return "adjoints[adjointAt]";
  if (!variant.has.has("dFinalState")) return "0.0";
  return element(operands, "dFinalState", "b * p.channels + chainChannel", `min(chainState, ${variant.states - 1}u)`);
}

/** Statements: loads of a tile, and the states and adjoints that come into each slot. */
function carries(making: Making): string {
  const { variant, operands, shape } = making;
  const { states, has } = variant;
  const chunkRow = `(b * p.chunks + (first + start) / ${CHUNK}u) * p.channels + chainChannel`;
  return `
    ${stageTile(operands, variant, shape)}
    var carried = select(${element(operands, "chunkStates", chunkRow, `min(chainState, ${states - 1}u)`)}, adjoint, isBack);
    ${eachOwn(
      shape,
      (m) => `${ownStep(shape, m)}
    let ownU${m} = ${element(operands, "u", `row${m}`, "c")};
    let ownDelta${m} = select(0.0, stepSize(row${m}, c), isStep${m});
    let ownEntering${m} = ownDelta${m} * ownU${m};
    let given${m} = select(0.0, ${element(operands, "dy", `row${m}`, "c")}, isStep${m});
    ${
      has.has("z")
        ? `let z${m} = ${element(operands, "z", `row${m}`, "c")}; let gate${m} = sigmoidOf(z${m}); let ownDy${m} = given${m} * z${m} * gate${m};`
        : `let ownDy${m} = given${m};`
    }`,
    )}
    ${eachStep(
      shape,
      (s) => `
    let delta${s} = ${shared(shape, "ownDelta", s)};
    let entering${s} = ${shared(shape, "ownEntering", s)};
    let dy${s} = ${shared(shape, "ownDy", s)};`,
    )}
    workgroupBarrier();
    var h = vec4<f32>(0.0);
    ${eachStep(
      shape,
      (s) => `
    let less${s} = decayLess(delta${s} * A);
    h = fma(less${s}, h, fma(vec4<f32>(entering${s}), ${coefficient(variant, shape, "B", s)}, h));`,
    )}
    var g = vec4<f32>(0.0);
    ${repeat(shape.steps, (k) => {
      const s = shape.steps - 1 - k;
      return `g = fma(vec4<f32>(dy${s}), ${coefficient(variant, shape, "C", s)}, g); g = fma(less${s}, g, g);`;
    })}
    let decay = decayLess((${repeat(shape.steps, (s) => `delta${s}`, " + ")}) * A);
    ${putQuad(shape, "states", "h")}
    ${putQuad(shape, "adjointsOf", "g")}
    ${putQuad(shape, "decays", "decay")}
    workgroupBarrier();
    if (isBack) { ${carryThrough(shape, "adjointsOf", true)} } 
    if (isForth) { ${carryThrough(shape, "states", false)} }
    adjoint = carried;
    workgroupBarrier();
    h = ${getQuad(shape, "states")};
    g = ${getQuad(shape, "adjointsOf")};`;
}

/** Statements: each thread's steps, forward for the states and back for the gradients. */
function back(making: Making): string {
  const { variant, shape, isPacked, sums } = making;
  const { softplus, has } = variant;
  const out = (name: string): string => (isPacked ? "results" : name);
  const kept = (value: string): string => (isPacked ? value : stored(variant, value));
  const ofConstant = (name: "B" | "C", s: number): string => {
    const [vector, scalar] =
      name === "B" ? [`pull${s}`, `entering${s}`] : [s + 1 < shape.steps ? `before${s + 1}` : "h", `dy${s}`];
    return has.has(`constant${name}`)
      ? `ofConstant${name} = fma(${vector}, vec4<f32>(${scalar}), ofConstant${name});`
      : `let given${name}${s} = ${vector} * ${scalar};`;
  };
  const y = sumOverParts(shape, "sumY", (s) => `y${s}`);
  const throughB = sumOverParts(shape, "sumB", (s) => `throughB${s}`);
  const throughA = sumOverParts(shape, "sumA", (s) => `throughA${s}`);
  return `
    ${eachStep(
      shape,
      (s) => `
    let before${s} = h;
    h = fma(less${s}, h, fma(vec4<f32>(entering${s}), ${coefficient(variant, shape, "B", s)}, h));
    ${has.has("z") ? `let y${s} = dot(${coefficient(variant, shape, "C", s)}, h);` : ""}`,
    )}
    ${has.has("z") ? y.code : ""}
    ${repeat(shape.steps, (k) => {
      const s = shape.steps - 1 - k;
      return `
    let pull${s} = fma(vec4<f32>(dy${s}), ${coefficient(variant, shape, "C", s)}, g);
    let both${s} = pull${s} * fma(less${s}, before${s}, before${s});
    ofA = fma(both${s}, vec4<f32>(delta${s}), ofA);
    ${ofConstant("B", s)}
    ${ofConstant("C", s)}
    let throughB${s} = dot(pull${s}, ${coefficient(variant, shape, "B", s)});
    let throughA${s} = dot(both${s}, A);
    g = fma(less${s}, pull${s}, pull${s});
    ${sums?.step(s) ?? ""}`;
    })}
    ${throughB.code}
    ${throughA.code}
    ${eachOwn(
      shape,
      (m) => `
    var ofStep${m} = fma(${throughA.own(m)}, LN_2, ownU${m} * ${throughB.own(m)});
    ${softplus ? `ofStep${m} *= -decayLess(vec4<f32>(-LOG2_E * ownDelta${m})).x;` : ""}
    ofBias += select(0.0, ofStep${m}, isStep${m});
    ofD = fma(ownDy${m}, ownU${m}, ofD);
    if (isStep${m}) {
      let at = row${m} * p.channels + c;
      ${out("du")}[p.duAt + at] = ${kept(`fma(ownDelta${m}, ${throughB.own(m)}, skip * ownDy${m})`)};
      ${out("dDelta")}[p.dDeltaAt + at] = ${kept(`ofStep${m}`)};
      ${has.has("z") ? `${out("dz")}[p.dzAt + at] = ${kept(`given${m} * fma(skip, ownU${m}, ${y.own(m)}) * gate${m} * fma(z${m}, 1.0 - gate${m}, 1.0)`)};` : ""}
    }`,
    )}`;
}

/** Statements: what a workgroup's slots, and threads of a channel, have added up over a piece. */
function piecesEnd({ variant, shape }: Making): string {
  const { has, states } = variant;
  const { columns, parts, slots } = shape;
  const total = (memory: string, at: string): string =>
    repeat(slots, (k) => `${memory}[${k * 4 * columns}u + ${at}]`, " + ");
  const perState = ["dA", ...constants(variant).map((name) => `dConstant${name}`)];
  const accumulator = (name: string): string => (name === "dA" ? "ofA" : name.replace("d", "of"));
  return `
  workgroupBarrier();
  ${perState
    .map(
      (name, i) => `
  ${i > 0 ? "workgroupBarrier();" : ""}
  ${putQuad(shape, "states", accumulator(name))}
  workgroupBarrier();
  if (isChain && isForth) {
    partials[p.${name}At + ((b * p.pieces + piece) * p.channels + chainChannel) * ${states}u + chainState] = ${total("states", "chain")};
  }`,
    )
    .join("\n")}
  adjointsOf[(slot * 4u) * ${columns}u + column] = ofD;
  decays[(slot * 4u) * ${columns}u + column] = ofBias;
  workgroupBarrier();
  if (isInside && part == 0u && slot == 0u) {
    ${has.has("D") ? `partials[p.dDAt + state] = ${repeat(parts, (k) => total("adjointsOf", `column + ${k}u`), " + ")};` : ""}
    ${has.has("deltaBias") ? `partials[p.dDeltaBiasAt + state] = ${repeat(parts, (k) => total("decays", `column + ${k}u`), " + ")};` : ""}
  }`;
}
