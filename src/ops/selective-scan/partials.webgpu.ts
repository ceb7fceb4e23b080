import type { Bound, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { perChannel, perState, perStep, type Range } from "./backward-shape.webgpu.ts";
import type { Pieces, ScanVariant } from "./pieces.webgpu.ts";
import type { PartialSum } from "./sums.webgpu.ts";

/** Bytes that sums for B and C may take at a time. */
const MOST_BYTES = 2 ** 30;

/** Where sums of pieces and tiles lie in one buffer, in elements, as `NAMEAt`. */
export interface Partials {
  readonly bound: Bound;
  readonly at: Readonly<Record<string, number>>;
}

type Outputs = Readonly<Record<string, Tensor>>;

/** Steps, of any sequences, whose sums for B and C fit at a time. */
export function mostSteps(
  { limits }: WebgpuKernelContext,
  outputs: Outputs,
  { groups }: Pick<Pieces, "groups">,
  { states }: ScanVariant,
  sums: number,
): number {
  const bytes = 4 * sums * groups * states * perStep.filter((name) => outputs[name]).length;
  return Math.min(MOST_BYTES, limits.maxStorageBufferBindingSize / 2) / Math.max(1, bytes);
}

/** Cuts the last phase so that sums for B and C fit: by sequences, and sequences by pieces where one alone is too long. */
export function rangesOf(
  { batch, length, pieces, pieceLength }: Pieces,
  { reverse }: ScanVariant,
  most: number,
): Range[] {
  const batches = Math.min(batch, Math.max(1, Math.floor(most / length)));
  const count = batches * length <= most ? pieces : Math.max(1, Math.floor(most / pieceLength));
  const ranges: Range[] = [];
  for (let batchStart = 0; batchStart < batch; batchStart += batches) {
    for (let pieceStart = 0; pieceStart < pieces; pieceStart += count) {
      const pieceCount = Math.min(count, pieces - pieceStart);
      const start = pieceStart * pieceLength;
      const end = Math.min(length, start + pieceCount * pieceLength);
      const places = { pieceStart, pieceCount, span: end - start, spanStart: reverse ? length - end : start };
      ranges.push({ batchStart, batches: Math.min(batches, batch - batchStart), ...places });
    }
  }
  return ranges;
}

export function makePartials(
  context: WebgpuKernelContext,
  outputs: Outputs,
  pieces: Pieces,
  { states }: ScanVariant,
  sums: number,
  ranges: readonly Range[],
): Partials {
  const at: Record<string, number> = {};
  let size = 0;
  const add = (name: string, count: number): void => {
    at[`${name}At`] = size;
    if (outputs[name]) size += count;
  };
  const rows = pieces.batch * pieces.pieces * pieces.channels;
  for (const name of perState) add(name, rows * states);
  for (const name of perChannel) add(name, rows);
  const steps = Math.max(...ranges.map(({ batches, span }) => batches * span));
  for (const name of perStep) add(name, sums * steps * pieces.groups * states);
  return { bound: context.scratch(4 * Math.max(1, size)), at };
}

/** Sums over tiles of channels of what does not depend on them, for the steps of a range. */
export function sumSteps(
  outputs: Outputs,
  { length, groups, batch }: Pieces,
  { at }: Partials,
  rows: number,
  { batchStart, batches, spanStart, span }: Range,
): PartialSum[] {
  return perStep.flatMap((name) => {
    const total = outputs[name];
    if (!total) return [];
    const width = total.size / (batch * length * groups);
    const step = groups * width;
    const place = { block: span * step, stride: length * step, first: (batchStart * length + spanStart) * step };
    return [{ total, at: at[`${name}At`]!, rows, size: batches * span * step, ...place }];
  });
}

/** Sums over pieces and the batch of what does not depend on time. */
export function sumPieces(outputs: Outputs, { batch, pieces }: Pieces, { at }: Partials): PartialSum[] {
  return [...perState, ...perChannel].flatMap((name) => {
    const total = outputs[name];
    if (!total) return [];
    const { size } = total;
    return [{ total, at: at[`${name}At`]!, rows: batch * pieces, size, block: size, stride: 0, first: 0 }];
  });
}
