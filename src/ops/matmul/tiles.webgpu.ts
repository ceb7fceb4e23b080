import { type Program, programNamed, type WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { boundOf, type GpuProduct, strideValues } from "./gpu-matrix.ts";

/** What a program costs, as measured on one NVIDIA H100; other cards differ in scale more than in proportion. */
export interface TileCost {
  /** Rows and columns of y that a workgroup works out. */
  readonly rows: number;
  readonly columns: number;
  /** Steps of the summed axis that a workgroup takes at once; parts are multiples of it. */
  readonly depth: number;
  /** Workgroups that run at a time. */
  readonly slots: number;
  /** Microseconds that they take for one slice. */
  readonly slice: number;
}

/** Microseconds to begin and to end a tile, and to begin a dispatch. */
const TILE_OVERHEAD = 4;
const DISPATCH_OVERHEAD = 3;
/** Bytes a microsecond that memory moves. */
const BANDWIDTH = 2.5e6;
/** Parts are written, read again and added up: more of them than this never pay. */
const MOST_SPLITS = 64;
const WORKGROUP = 64;

/** Into how many parts the summed axis is best cut, and how many microseconds a product then takes. */
interface Plan {
  readonly splits: number;
  readonly microseconds: number;
}

const plans = new Map<string, Plan>();
/** Shapes that are remembered; a program has few, unless its sequences have all lengths. */
const MOST_PLANS = 4096;

/**
 * Rounds of workgroups times slices of a part, plus the traffic of the parts: the summed axis is cut so that all multiprocessors have
 * work and no round is half empty. Worked out once for each shape, from sizes alone, so that a product gives the same bits every time.
 */
export function planOf({ batch, rows, inner, columns, y, bias, adds }: GpuProduct, tile: TileCost): Plan {
  const isDense = y.columnStride === 1 && y.rowStride === columns;
  const mostSplits = bias || adds || batch > 1 || !isDense ? 1 : MOST_SPLITS;
  const key = [tile.rows, tile.columns, tile.depth, tile.slice, batch, rows, inner, columns, mostSplits].join();
  const known = plans.get(key);
  if (known) return known;
  const tiles = batch * Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns);
  const slices = Math.ceil(inner / tile.depth);
  let best: Plan = { splits: 1, microseconds: Number.POSITIVE_INFINITY };
  for (let splits = 1; splits <= Math.max(1, Math.min(mostSplits, slices)); splits++) {
    const rounds = Math.ceil((tiles * splits) / tile.slots);
    const sums = splits === 1 ? 0 : DISPATCH_OVERHEAD + ((2 * splits + 1) * 4 * rows * columns) / BANDWIDTH;
    const microseconds = rounds * (Math.ceil(slices / splits) * tile.slice + TILE_OVERHEAD) + sums;
    if (microseconds < best.microseconds) best = { splits, microseconds };
  }
  if (plans.size >= MOST_PLANS) plans.clear();
  plans.set(key, best);
  return best;
}

const addPartsProgram = (wide: boolean): Program =>
  programNamed(`product add parts${wide ? " wide" : ""}`, () => {
    const type = wide ? "vec4<f32>" : "f32";
    return {
      bindings: [
        { name: "parts", type },
        { name: "out", type, write: true },
      ],
      params: ["count:u32", "splits:u32", "yOffset:u32"],
      workgroup: WORKGROUP,
      body: `
  if (index >= p.count) { return; }
  var sum = parts[index];
  for (var part = 1u; part < p.splits; part++) { sum += parts[part * p.count + index]; }
  out[p.yOffset + index] = sum;`,
    };
  });

/** One workgroup a tile and part of the summed axis; parts are added up afterwards, in their order. */
export function dispatchTiles(
  context: WebgpuKernelContext,
  product: GpuProduct,
  program: Program,
  tile: TileCost,
): void {
  const { batch, rows, inner, columns, y, bias } = product;
  const tileRows = Math.ceil(rows / tile.rows);
  const tileColumns = Math.ceil(columns / tile.columns);
  const slices = Math.ceil(inner / tile.depth);
  const mostSplits = Math.max(1, Math.floor(context.limits.maxStorageBufferBindingSize / (4 * rows * columns)));
  const partSlices = Math.max(1, Math.ceil(slices / Math.min(mostSplits, planOf(product, tile).splits)));
  const splits = Math.max(1, Math.ceil(slices / partSlices));
  const sums = splits > 1 ? context.scratch(4 * splits * rows * columns) : undefined;
  const target = sums
    ? { bound: sums, offset: 0, rowStride: columns, columnStride: 1, batchStride: rows * columns }
    : y;
  const values = {
    ...{ rows, inner, columns, tileRows, tileColumns, splits, splitInner: partSlices * tile.depth },
    ...{ biasOffset: bias?.offset ?? 0, ...strideValues({ ...product, y: target }) },
  };
  context.dispatch(program, boundOf({ ...product, y: target }), values, batch * tileRows * tileColumns * splits);
  if (!sums) return;
  const wide = (rows * columns) % 4 === 0 && y.offset % 4 === 0;
  const vector = wide ? 4 : 1;
  const own = { count: (rows * columns) / vector, splits, yOffset: y.offset / vector };
  context.dispatch(addPartsProgram(wide), [sums, y.bound], own, Math.ceil(own.count / WORKGROUP));
}
