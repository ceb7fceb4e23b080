// Brings matrices into the orders that products read: panels of 8 columns, and rows with stride 1.
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { storeTransposed } from "./transpose.as";

/**
 * A matrix [inner columns] as panels [ceil(columns / 8)] [inner] [8], columns past the end zero.
 * Arguments: from, its strides of k and of columns, to, inner, columns, batches, from one batch to the next in `from`
 * and `to`. Strides in bytes; one of them is 4 where it shall be fast.
 */
export function packPanels(args: usize, thread: i32, threads: i32): void {
  const inner = load<i32>(args, 16);
  const columns = load<i32>(args, 20);
  const panels = (columns + 7) >> 3;
  const count = panels * load<i32>(args, 24);
  const end = partStart(count, thread + 1, threads);
  for (let i = partStart(count, thread, threads); i < end; i++) {
    const batch = <usize>(i / panels);
    const panel = i % panels;
    const columnStride = <usize>load<u32>(args, 8);
    const from = <usize>load<u32>(args) + batch * load<u32>(args, 28) + <usize>(panel << 3) * columnStride;
    const to = <usize>load<u32>(args, 12) + batch * load<u32>(args, 32) + <usize>panel * (<usize>inner << 5);
    packPanel(from, load<u32>(args, 4), columnStride, to, inner, min(8, columns - (panel << 3)));
  }
}

function packPanel(from: usize, step: usize, columnStride: usize, to: usize, inner: i32, columns: i32): void {
  if (columns < 8) memory.fill(to, 0, <usize>inner << 5);
  else if (columnStride == 4) return copyPanel(from, step, to, inner);
  else if (step == 4) {
    const done = inner & ~3;
    for (let k = 0; k < done; k += 4) {
      const at = from + (<usize>k << 2);
      transposeFour(at, columnStride, to + (<usize>k << 5));
      transposeFour(at + 4 * columnStride, columnStride, to + (<usize>k << 5) + 16);
    }
    return packScalars(from, step, columnStride, to, done, inner, 8);
  }
  packScalars(from, step, columnStride, to, 0, inner, columns);
}

// @ts-ignore: decorator
@inline
function transposeFour(from: usize, stride: usize, to: usize): void {
  const a = v128.load(from);
  const b = v128.load(from + stride);
  const c = v128.load(from + 2 * stride);
  const d = v128.load(from + 3 * stride);
  storeTransposed(a, b, c, d, to, 32);
}

function copyPanel(from: usize, step: usize, to: usize, inner: i32): void {
  const end = to + (<usize>inner << 5);
  for (; to < end; to += 32) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    from += step;
  }
}

function packScalars(
  from: usize, step: usize, columnStride: usize, to: usize, first: i32, end: i32, columns: i32,
): void {
  for (let k = first; k < end; k++) {
    for (let column = 0; column < columns; column++) {
      const value = load<f32>(from + <usize>k * step + <usize>column * columnStride);
      store<f32>(to + (<usize>k << 5) + (<usize>column << 2), value);
    }
  }
}

/**
 * Undoes packPanels: columns become rows.
 * Arguments: panels, to, inner, columns. `to` is dense [columns inner].
 */
export function unpackPanels(args: usize, thread: i32, threads: i32): void {
  const inner = load<i32>(args, 8);
  const columns = load<i32>(args, 12);
  const panels = (columns + 7) >> 3;
  const end = partStart(panels, thread + 1, threads);
  for (let panel = partStart(panels, thread, threads); panel < end; panel++) {
    const from = <usize>load<u32>(args) + <usize>panel * (<usize>inner << 5);
    const count = min(8, columns - (panel << 3));
    for (let column = 0; column < count; column++) {
      const to = <usize>load<u32>(args, 4) + <usize>((panel << 3) + column) * (<usize>inner << 2);
      for (let k = 0; k < inner; k++) {
        store<f32>(to + (<usize>k << 2), load<f32>(from + (<usize>k << 5) + (<usize>column << 2)));
      }
    }
  }
}

/**
 * Any strided matrix as dense rows.
 * Arguments: from, its strides of rows and of columns, to, rows, columns, batches, from one batch to the next in `from`
 * and `to`. Strides in bytes; one of them is 4 where it shall be fast.
 */
export function gatherRows(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args, 16);
  const blocks = (rows + 15) >> 4;
  const count = blocks * load<i32>(args, 24);
  const end = partStart(count, thread + 1, threads);
  for (let i = partStart(count, thread, threads); i < end; i++) {
    const batch = <usize>(i / blocks);
    const row = (i % blocks) << 4;
    const rowStride = <usize>load<u32>(args, 4);
    const columns = load<i32>(args, 20);
    const from = <usize>load<u32>(args) + batch * load<u32>(args, 28) + <usize>row * rowStride;
    const to = <usize>load<u32>(args, 12) + batch * load<u32>(args, 32) + <usize>row * (<usize>columns << 2);
    gatherBlock(from, rowStride, load<u32>(args, 8), to, min(16, rows - row), columns);
  }
}

function gatherBlock(from: usize, rowStride: usize, columnStride: usize, to: usize, rows: i32, columns: i32): void {
  const bytes = <usize>columns << 2;
  if (columnStride == 4) {
    for (let row = 0; row < rows; row++) memory.copy(to + row * bytes, from + row * rowStride, bytes);
  } else if (rowStride == 4 && rows == 16) {
    const done = columns & ~3;
    for (let column = 0; column < done; column += 4) {
      const at = from + <usize>column * columnStride;
      for (let row: usize = 0; row < 16; row += 4) {
        const own = at + (row << 2);
        const a = v128.load(own);
        const b = v128.load(own + columnStride);
        const c = v128.load(own + 2 * columnStride);
        const d = v128.load(own + 3 * columnStride);
        storeTransposed(a, b, c, d, to + row * bytes + (<usize>column << 2), bytes);
      }
    }
    gatherScalars(from, rowStride, columnStride, to, rows, done, columns);
  } else gatherScalars(from, rowStride, columnStride, to, rows, 0, columns);
}

function gatherScalars(
  from: usize, rowStride: usize, columnStride: usize, to: usize, rows: i32, first: i32, columns: i32,
): void {
  const bytes = <usize>columns << 2;
  for (let row = 0; row < rows; row++) {
    for (let column = first; column < columns; column++) {
      const value = load<f32>(from + <usize>row * rowStride + <usize>column * columnStride);
      store<f32>(to + <usize>row * bytes + (<usize>column << 2), value);
    }
  }
}
