import type { GpuBinding } from "../../backends/webgpu/index.ts";
import { type GpuFormat, quadWeight, scalesAt } from "../linear/weight.webgpu.ts";

/** The projections of a block. */
export type Projection = "inProj" | "xProj" | "dtProj" | "outProj";
export type Formats = Readonly<Record<Projection, GpuFormat>>;

/** Sizes that programs are written for: loops of known length are unrolled, and all their loads are under way at once. */
export interface ThinBlock {
  /** Rows of x, at most {@link MOST_THIN_ROWS}; each weight is read once for all of them. */
  readonly rows: number;
  readonly dModel: number;
  readonly dInner: number;
  readonly dState: number;
  readonly dtRank: number;
  readonly window: number;
  readonly mixerNorm: boolean;
  readonly inProjBias: boolean;
  readonly convBias: boolean;
  readonly outProjBias: boolean;
  /** Types of the projections. */
  readonly formats: Formats;
  /** Whether 32 neighbouring threads can add up among themselves. */
  readonly subgroups: boolean;
}

export const MOST_THIN_ROWS = 8;
/** Threads that share the rows of a weight. */
export const LANES = 32;
export const THREADS = 256;
/** Channels that a workgroup of the first program works out: each team of threads its part of the rows of u and z. */
export const CHANNELS = 16;
export const TEAMS = THREADS / LANES;
export const TEAM_CHANNELS = CHANNELS / TEAMS;
/** Threads of the last program, and rows of its weight that each team has. */
export const LEAVE_THREADS = 64;
/** Vectors of weights that a thread loads before it uses the first. */
const LOADS = 24;

/** WGSL of several things of a kind. */
export const list = (count: number, code: (i: number) => string, separator = "\n"): string =>
  Array.from({ length: count }, (_, i) => code(i)).join(separator);

/** Workgroups of the first program: each leaves a part of the sums of xProj. */
export const enterGroups = ({ dInner }: ThinBlock): number => Math.ceil(dInner / CHANNELS);
export const leaveGroups = ({ dModel }: ThinBlock): number => Math.ceil(dModel / (LEAVE_THREADS / LANES));
export const updateGroups = (block: ThinBlock): number => block.rows * Math.ceil(block.dInner / updateChannels(block));

export const selection = ({ dtRank, dState }: ThinBlock): number => dtRank + 2 * dState;
export const paddedSelection = (block: ThinBlock): number => Math.ceil(selection(block) / 4) * 4;

/** Floats between the programs: u and z by row, then the parts of xProj's sums by row and workgroup. */
export const workFloats = (block: ThinBlock): number =>
  block.rows * (2 * block.dInner + enterGroups(block) * paddedSelection(block));

/** Threads that share the states of a channel: four states each where that comes out even. */
export const stateLanes = ({ dState }: ThinBlock): number =>
  dState % 4 === 0 && THREADS % (dState / 4) === 0 ? dState / 4 : 1;
export const updateChannels = (block: ThinBlock): number => THREADS / stateLanes(block);

export function variantKey(block: ThinBlock): string {
  const { rows, dModel, dInner, dState, dtRank, window, mixerNorm, formats, subgroups } = block;
  const sizes = [rows, dModel, dInner, dState, dtRank, window].join("x");
  const flags = [...(mixerNorm ? ["norms"] : []), ...formatMarks(formats), ...(subgroups ? ["subgroups"] : [])];
  return [sizes, ...flags].join(" ");
}

/** What tells programs of other types of weights apart. */
export function formatMarks(formats: Formats): string[] {
  return Object.entries(formats).flatMap(([name, format]) => (format === "float32" ? [] : [`${name} ${format}`]));
}

/** WGSL of where the scales of a projection begin, if it has any. */
export function scalesOf({ dModel, dInner, dState, dtRank, formats }: ScaledBlock, name: Projection): string {
  const elements = {
    inProj: 2 * dInner * dModel,
    xProj: (dtRank + 2 * dState) * dInner,
    dtProj: dInner * dtRank,
    outProj: dModel * dInner,
  };
  return `${scalesAt(formats[name], elements[name])}u`;
}

type ScaledBlock = Pick<ThinBlock, "dModel" | "dInner" | "dState" | "dtRank" | "formats">;

/** A projection, and WGSL of `load_NAME(k)`, its k-th four elements. */
export function weightBinding(block: ThinBlock, name: Projection): { binding: GpuBinding; load: string } {
  return quadWeight(name, block.formats[name], scalesOf(block, name));
}

interface Dots {
  readonly weight: string;
  /** WGSL of the first four of each row of the weight. */
  readonly starts: readonly string[];
  readonly rows: number;
  /** Fours in a row. */
  readonly fours: number;
  /** WGSL of the four at place `k` of a row of x. */
  readonly x: (row: number, k: string) => string;
  /** WGSL of what the four at place `k` of each x is multiplied by; then `squaresROW` adds up the squares of x. */
  readonly scale?: (k: string) => string;
}

/** WGSL: a thread's part of the products of some rows of a weight with rows of x, in `sumROW_START`. */
export function dotsCode({ weight, starts, rows, fours, x, scale }: Dots): string {
  const steps = Math.ceil(fours / LANES);
  const chunk = Math.max(1, Math.min(steps, Math.floor(LOADS / starts.length)));
  const isWhole = fours % (LANES * chunk) === 0;
  const load = (i: number): string => `
    let k${i} = ${isWhole ? `k + ${i * LANES}u` : `min(k + ${i * LANES}u, ${fours - 1}u)`};
    ${list(starts.length, (s) => `let w${s}_${i} = load_${weight}(${starts[s]} + k${i});`)}
    ${scale ? `let scale${i} = ${scale(`k${i}`)};` : ""}`;
  const value = (row: number, i: number): string => {
    const own = x(row, `k${i}`);
    return isWhole ? own : `select(vec4<f32>(0.0), ${own}, k + ${i * LANES}u < ${fours}u)`;
  };
  const use = (row: number, i: number): string => `{
      let own = ${value(row, i)};
      ${scale ? `squares${row} += dot(own, own);\n      let scaled = own * scale${i};` : "let scaled = own;"}
      ${list(starts.length, (s) => `sum${row}_${s} += dot(scaled, w${s}_${i});`)}
    }`;
  return `
  ${list(rows, (row) => list(starts.length, (s) => `var sum${row}_${s} = 0.0;`))}
  ${scale ? list(rows, (row) => `var squares${row} = 0.0;`) : ""}
  for (var k = own; k < ${steps * LANES}u; k += ${LANES * chunk}u) {
    ${list(chunk, load)}
    ${list(chunk, (i) => list(rows, (row) => use(row, i)))}
  }`;
}

/** Values that teams add up between two barriers where they have no subgroups: more would take too much memory. */
const SUMMED = 8;

/**
 * WGSL of sums over the threads of each team: `totals[i * teams + team]` is that of `values[i]`, for the whole workgroup.
 */
export function teamSums(
  values: readonly string[],
  threads: number,
  subgroups: boolean,
): { declarations: string; code: string } {
  const teams = threads / LANES;
  const totals = `var<workgroup> totals: array<f32, ${values.length * teams}>;`;
  if (subgroups) {
    const lines = values.map((value, i) => `let total${i} = subgroupAdd(${value});`);
    const stores = values.map((_, i) => `totals[${i * teams}u + team] = total${i};`);
    const code = `${lines.join("\n")}\nif (own == 0u) { ${stores.join(" ")} }\nworkgroupBarrier();`;
    return { declarations: totals, code };
  }
  const most = Math.min(SUMMED, values.length);
  const round = (first: number): string => {
    const some = values.slice(first, first + most);
    return `
  ${some.map((value, i) => `addends[${i * threads}u + lane] = ${value};`).join(" ")}
  workgroupBarrier();
  for (var i = lane; i < ${some.length * teams}u; i += ${threads}u) {
    var sum = 0.0;
    for (var k = 0u; k < ${LANES}u; k++) { sum += addends[i * ${LANES}u + k]; }
    totals[${first * teams}u + i] = sum;
  }
  workgroupBarrier();`;
  };
  return {
    declarations: `${totals}\nvar<workgroup> addends: array<f32, ${most * threads}>;`,
    code: list(Math.ceil(values.length / most), (i) => round(i * most)),
  };
}
