import type { WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { CHUNK } from "./chunk.ts";
import type { Operands } from "./operands.webgpu.ts";
import { laneQuad, quadsOf, type ScanVariant } from "./pieces.webgpu.ts";

const MOST_PARTS = 8;

/**
 * How a workgroup takes a tile: {@link CHUNK} steps of some channels. A thread has four states of one channel through some
 * steps, with their decays in registers, so that each exponential is worked out once; `parts` neighbouring threads share a channel.
 */
export interface TileShape {
  /** Threads of one channel. */
  readonly parts: number;
  /** Threads of one slot of time: those of all channels. */
  readonly columns: number;
  /** Channels of a workgroup. */
  readonly channels: number;
  /** Steps of a thread, and slots of as many in a tile. */
  readonly steps: number;
  readonly slots: number;
  readonly threads: number;
  /** Lanes of a subgroup. */
  readonly subgroup: number;
}

/**
 * The shape for a scan without segments on a device with subgroups; undefined if there is none.
 *
 * @param columns - threads of a slot, a power of two and at least 8
 * @param steps - steps of a thread, a power of two and at most 8
 */
export function tileShape(
  { states, has }: ScanVariant,
  context: WebgpuKernelContext,
  columns: number,
  steps: number,
): TileShape | undefined {
  const parts = 2 ** Math.ceil(Math.log2(quadsOf(states)));
  const subgroup = context.subgroupSize;
  const hasSegments = ["segmentIds", "segmentStates", "dSegmentStates"].some((name) => has.has(name));
  if (hasSegments || parts > Math.min(MOST_PARTS, steps, subgroup)) return undefined;
  const slots = CHUNK / steps;
  return { parts, columns, channels: columns / parts, steps, slots, threads: slots * columns, subgroup };
}

export function repeat(count: number, code: (i: number) => string, between = "\n"): string {
  return Array.from({ length: count }, (_, i) => code(i)).join(between);
}

/** Statements for each step of a thread. */
export const eachStep = ({ steps }: TileShape, code: (s: number) => string): string => repeat(steps, code);

/** WGSL of a thread's own four states of an operand. */
export function ownQuad(
  operands: Operands,
  { states }: ScanVariant,
  { parts }: TileShape,
  name: string,
  row: string,
): string {
  return laneQuad(operands, name, row, "part", { states, quads: parts });
}

/** Statements: which channel, part of its states and slot of time a thread has, and which state it carries from slot to slot. */
export function tileStart({ states }: ScanVariant, { parts, columns, channels, subgroup }: TileShape): string {
  return `
  let part = lane % ${parts}u;
  let column = lane % ${columns}u;
  let slot = lane / ${columns}u;
  let home = lane % ${subgroup}u - part;
  let place = tile * ${channels}u + column / ${parts}u;
  let isInside = place < p.width;
  let c = own * p.width + min(place, p.width - 1u);
  let first = piece * p.pieceLength;
  let count = min(p.length, first + p.pieceLength) - first;
  let chain = lane % ${4 * columns}u;
  let chainState = 4u * (chain % ${parts}u) + chain / ${columns}u;
  let chainPlace = tile * ${channels}u + (chain % ${columns}u) / ${parts}u;
  let chainChannel = own * p.width + min(chainPlace, p.width - 1u);
  let isChain = chainPlace < p.width && chainState < ${states}u;
  ${repeat(Math.log2(parts), (k) => `let isUpper${1 << k} = (lane & ${1 << k}u) != 0u;`)}`;
}

/**
 * Statements for each step of a tile that a thread loads itself, `m`: those of its slot that lie `part` past multiples of the number of parts.
 */
export function eachOwn({ parts, steps }: TileShape, code: (m: number) => string): string {
  return repeat(steps / parts, code);
}

/** Statements: where the own step m lies. */
export function ownStep({ parts, steps }: TileShape, m: number): string {
  return `
    let step${m} = start + slot * ${steps}u + ${m * parts}u + part;
    let row${m} = b * p.length + timeOf(first + min(step${m}, count - 1u));
    let isStep${m} = step${m} < count && isInside;`;
}

/** WGSL of a value of step s that the thread of that step has as `NAMEm`. */
export function shared({ parts }: TileShape, name: string, s: number): string {
  const own = `${name}${Math.floor(s / parts)}`;
  return parts === 1 ? own : `subgroupShuffle(${own}, home + ${s % parts}u)`;
}

/**
 * Sums over the parts of a channel of one value for each step, `value(s)`: what is left, in order, are the sums of a thread's own
 * steps. In each exchange a thread keeps one half of the steps and gets its partner's share of them.
 */
export function sumOverParts(
  { parts, steps }: TileShape,
  name: string,
  value: (s: number) => string,
): { readonly code: string; readonly own: (m: number) => string } {
  let values = Array.from({ length: steps }, (_, s) => value(s));
  const code: string[] = [];
  for (let mask = 1; mask < parts; mask *= 2) {
    values = Array.from({ length: values.length / 2 }, (_, i) => {
      const [even, odd] = [values[2 * i]!, values[2 * i + 1]!];
      const sum = `${name}_${mask}_${i}`;
      code.push(
        `let ${sum} = select(${even}, ${odd}, isUpper${mask}) + subgroupShuffleXor(select(${odd}, ${even}, isUpper${mask}), ${mask}u);`,
      );
      return sum;
    });
  }
  return { code: code.join("\n"), own: (m) => values[m]! };
}

/** Statements that put a thread's four values, and get them, in memory of the workgroup, where chains find them. */
export function putQuad({ columns }: TileShape, memory: string, value: string): string {
  return repeat(4, (k) => `${memory}[(slot * 4u + ${k}u) * ${columns}u + column] = ${value}[${k}];`, " ");
}
export function getQuad({ columns }: TileShape, memory: string): string {
  return `vec4<f32>(${repeat(4, (k) => `${memory}[(slot * 4u + ${k}u) * ${columns}u + column]`, ", ")})`;
}

/** Statements of one thread of a chain: carries a state through the slots, and leaves in place of each slot's own what comes into it. */
export function carryThrough({ columns, slots }: TileShape, memory: string, backward: boolean): string {
  const order = Array.from({ length: slots }, (_, i) => (backward ? slots - 1 - i : i));
  return order
    .map(
      (k) => `
      let own${k} = ${memory}[${k * 4 * columns}u + chain];
      ${memory}[${k * 4 * columns}u + chain] = carried;
      carried = fma(decays[${k * 4 * columns}u + chain], carried, carried + own${k});`,
    )
    .join("");
}

/** Numbers in memory of the workgroup that one value a state and slot takes. */
export const slotWords = ({ columns, slots }: TileShape): number => slots * 4 * columns;

/** B and C that are selected by time, and so staged in memory of the workgroup. */
export const selections = ({ has }: ScanVariant): ("B" | "C")[] =>
  (["B", "C"] as const).filter((name) => !has.has(`constant${name}`));

/** Statements that stage B and C of a tile, from place `stage` on. */
export function stageTile(operands: Operands, variant: ScanVariant, shape: TileShape): string {
  const names = selections(variant);
  if (names.length === 0) return "";
  const { parts, threads } = shape;
  return `for (var i = lane; i < ${CHUNK * parts}u; i += ${threads}u) {
      let part = i % ${parts}u;
      let row = (b * p.length + timeOf(first + min(start + i / ${parts}u, count - 1u))) * p.groups + own;
      ${names.map((name) => `staged${name}[stage + i] = ${ownQuad(operands, variant, shape, name, "row")};`).join("\n")}
    }`;
}

/** WGSL of a thread's four numbers of B or C at its step s. */
export function coefficient({ has }: ScanVariant, { parts, steps }: TileShape, name: "B" | "C", s: number): string {
  if (has.has(`constant${name}`)) return `constant${name}`;
  return `staged${name}[stage + (slot * ${steps}u + ${s}u) * ${parts}u + part]`;
}
