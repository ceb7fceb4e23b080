import { sumByHalves } from "./halving.webgpu.ts";
import { repeat, type TileShape } from "./tile.webgpu.ts";

/** Statements that add up over the channels of a workgroup what they give to B and C. */
export interface SelectionSums {
  readonly declarations: string;
  /** Once, before all tiles. */
  readonly start: string;
  /** After `givenB${s}` and `givenC${s}` of a step are there. */
  readonly step: (s: number) => string;
  /** After all steps of a tile. */
  readonly end: string;
}

/** Rows of sums that a workgroup leaves for each step: subgroups of a slot, or one where two of them can be added up. */
export function sumsOf(shape: TileShape): number {
  return isJoined(shape) ? 1 : subgroupsOf(shape);
}

const subgroupsOf = ({ columns, subgroup }: TileShape): number => Math.max(1, columns / subgroup);
const isJoined = (shape: TileShape): boolean => subgroupsOf(shape) === 2;

/** Numbers in memory of the workgroup that sums of both B and C take. */
export function joinedWords(shape: TileShape): number {
  if (!isJoined(shape)) return 0;
  const { parts, subgroup, steps, slots } = shape;
  return steps * Math.max(1, (8 * parts) / subgroup) * slots * subgroup;
}

/**
 * Sums by halves: in each exchange between lanes of a subgroup a lane keeps one half of its values and gets its partner's share of
 * them, until few are left, summed over all channels of the subgroup. Where two subgroups share a slot, one adds up both.
 *
 * @param names - B and C, those that are selected by time
 */
export function selectionSums(
  names: readonly ("B" | "C")[],
  shape: TileShape,
  states: number,
): SelectionSums | undefined {
  if (names.length === 0) return undefined;
  const { parts, columns, subgroup, steps, slots } = shape;
  const lanes = Math.min(subgroup, columns);
  const masks: number[] = [];
  for (let mask = parts; mask < lanes; mask *= 2) masks.push(mask);
  const halvings: string[] = [];
  const repeats: string[] = [];
  let size = 4 * names.length;
  for (const mask of masks) {
    if (size > 1) {
      size /= 2;
      halvings.push(`select(0u, ${size}u, isOther${mask})`);
    } else repeats.push(`!isOther${mask}`);
  }
  const joined = isJoined(shape);
  const words = steps * size;
  const store = (s: number, i: number): string => {
    const place = `(keptFirst + ${i}u)`;
    const state = `4u * part + ${place} % 4u`;
    const value = joined
      ? `left${s}_${i} + joined[(${s * size + i}u * ${slots}u + slot) * ${subgroup}u + lane % ${subgroup}u]`
      : `left${s}_${i}`;
    const at = (name: string): string => `partials[p.d${name}At + at * ${states}u + ${state}] = ${value};`;
    const code = names.length === 2 ? `if (${place} < 4u) { ${at("B")} } else { ${at("C")} }` : at(names[0]!);
    return states === 4 * parts ? code : `if (${state} < ${states}u) { ${code} }`;
  };
  const stepAt = (s: number): string => `start + slot * ${steps}u + ${s}u`;
  const write = repeat(
    steps,
    (s) => `if (isKeeper && ${stepAt(s)} < count) {
      let at = partialRow(sumRow, b, first + ${stepAt(s)}, own);
      ${repeat(size, (i) => store(s, i))}
    }`,
  );
  return {
    declarations: joined ? `var<workgroup> joined: array<f32, ${words * (slots) * subgroup}>;` : "",
    start: `
  ${masks.map((mask) => `let isOther${mask} = (lane & ${mask}u) != 0u;`).join("\n")}
  let keptFirst = ${halvings.join(" + ") || "0u"};
  let subgroupOfSlot = column / ${lanes}u;
  let isKeeper = ${["true", ...repeats, ...(joined ? ["subgroupOfSlot == 0u"] : [])].join(" && ")};
  let sumRow = ${joined ? "tile" : `tile * ${subgroupsOf(shape)}u + subgroupOfSlot`};`,
    step: (s) => exchanges(names, masks, s),
    end: joined
      ? `if (subgroupOfSlot == 1u) {
      ${repeat(steps, (s) => repeat(size, (i) => `joined[(${s * size + i}u * ${slots}u + slot) * ${subgroup}u + lane % ${subgroup}u] = left${s}_${i};`))}
    }
    workgroupBarrier();
    ${write}`
      : `${write}
    workgroupBarrier();`,
  };
}

/** Statements that leave a step's sums in `left${s}_${i}`. */
function exchanges(names: readonly string[], masks: readonly number[], s: number): string {
  const given = names.flatMap((name) => [0, 1, 2, 3].map((k) => `given${name}${s}[${k}]`));
  const { code, left } = sumByHalves(given, masks, s, "isOther");
  return [...code, ...left.map((value, i) => `let left${s}_${i} = ${value};`)].join("\n");
}
