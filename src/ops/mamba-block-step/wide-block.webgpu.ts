import { FRAGMENT, VECTOR } from "../matmul/core-strip.webgpu.ts";
import { type Formats, formatMarks } from "./thin-block.webgpu.ts";

/** Sizes that programs for many rows on matrix cores are written for; what lies between them is float16. */
export interface WideBlock {
  /** Rows of x. */
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
  /** Types of the projections, that to delta float16. */
  readonly formats: Formats;
  /** Bytes of workgroup memory. */
  readonly storage: number;
}

export const THREADS = 256;
/** Channels, or gates, that a workgroup of the second program works out. */
export const ENTER_COLUMNS = 32;
export const LEAVE_COLUMNS = 16;
const LEAVE_ROWS = 32;
/** Blocks of channels that a workgroup of the third program goes through at most. */
const UPDATE_BLOCKS = 4;

/** Rows of a tile; 16 where slices are deep enough for all subgroups to have a part. */
export const tileRows = ({ rows, dModel, dInner }: WideBlock): number =>
  rows <= 16 && dModel % 128 === 0 && dInner % 128 === 0 ? 16 : rows <= 32 ? 32 : 64;
export const leaveRows = (block: WideBlock): number => Math.min(LEAVE_ROWS, tileRows(block));
/** Rows of scratch: whole tiles. */
export const paddedRows = (block: WideBlock): number => Math.ceil(block.rows / tileRows(block)) * tileRows(block);

export const enterTiles = ({ dInner }: WideBlock): number => dInner / ENTER_COLUMNS;
export const enterGroups = (block: WideBlock): number => (paddedRows(block) / tileRows(block)) * 2 * enterTiles(block);
export const leaveGroups = (block: WideBlock): number =>
  (paddedRows(block) / leaveRows(block)) * (block.dModel / LEAVE_COLUMNS);

/** Threads that share the states of a channel, four each. */
export const stateLanes = ({ dState }: WideBlock): number => dState / 4;
export const blockChannels = (block: WideBlock): number => THREADS / stateLanes(block);
export const updateBlocks = (block: WideBlock): number =>
  Math.min(UPDATE_BLOCKS, Math.ceil(block.dInner / blockChannels(block)));
export const updateSpans = (block: WideBlock): number =>
  Math.ceil(block.dInner / (updateBlocks(block) * blockChannels(block)));

export const selection = ({ dtRank, dState }: WideBlock): number => dtRank + 2 * dState;
/** Selection in whole fragments. */
export const paddedSelection = (block: WideBlock): number => Math.ceil(selection(block) / FRAGMENT) * FRAGMENT;

/** Floats between the second and third program: u and z by row, then parts of xProj's sums by row and tile of channels. */
export const workFloats = (block: WideBlock): number =>
  paddedRows(block) * (2 * block.dInner + enterTiles(block) * paddedSelection(block));
export const sumsAt = (block: WideBlock): number => 2 * paddedRows(block) * block.dInner;

/** Whether a summed axis can be read in slices. */
export const isSliced = (inner: number): boolean => inner % 64 === 0;
export const isVector = (offset: number): boolean => offset % VECTOR === 0;

export function variantKey(block: WideBlock): string {
  const { rows, dModel, dInner, dState, dtRank, window, mixerNorm, formats } = block;
  const sizes = [rows, dModel, dInner, dState, dtRank, window].join("x");
  return [sizes, ...(mixerNorm ? ["norms"] : []), ...formatMarks(formats)].join(" ");
}
