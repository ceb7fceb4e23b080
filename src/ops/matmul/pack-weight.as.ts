// Brings weights of 16 bits and of blocks into panels of 8 rows; those of float32 are in pack.as.ts, rounding in round.as.ts.
import { fail, NOT_REPRESENTABLE } from "../../backends/wasm/assembly/control.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { BLOCK, FLOAT16, hasFours, INT4_BLOCK, INT4_VALUES, INT8, INT8_BLOCK, INT8_VALUES } from "./weights.as";

/**
 * A weight of 16-bit floats as panels; infinite float16 is a late error, since kernels widen finite ones only.
 * Arguments: w, its row stride in bytes, to, columns, rows, type.
 */
export function packHalves(args: usize, thread: i32, threads: i32): void {
  const stride = <usize>load<u32>(args, 4);
  const columns = load<i32>(args, 12);
  const rows = load<i32>(args, 16);
  const type = load<i32>(args, 20);
  const panels = (rows + 7) >> 3;
  const end = partStart(panels, thread + 1, threads);
  for (let panel = partStart(panels, thread, threads); panel < end; panel++) {
    const to = <usize>load<u32>(args, 8) + (<usize>panel * <usize>columns << 4);
    const first = panel << 3;
    if (rows - first < 8) memory.fill(to, 0, <usize>columns << 4);
    for (let row = first; row < min(first + 8, rows); row++) {
      const from = <usize>load<u32>(args) + <usize>row * stride;
      const lane = to + (<usize>(row & 7) << 1);
      for (let column: usize = 0; column < <usize>columns; column++) {
        const bits = load<u16>(from + (column << 1));
        if (type == FLOAT16 && (bits & 0x7c00) == 0x7c00) fail(NOT_REPRESENTABLE, args, row, type);
        store<u16>(lane + (column << 4), bits);
      }
    }
  }
}

/** A weight of layout `blocks` as panels. Arguments: w, to, columns, rows, type. */
export function packBlocks(args: usize, thread: i32, threads: i32): void {
  const columns = load<i32>(args, 8);
  const rows = load<i32>(args, 12);
  const isInt8 = load<i32>(args, 16) == INT8;
  const bytes = isInt8 ? INT8_BLOCK : INT4_BLOCK;
  const values = <usize>load<u32>(args);
  const scales = values + (isInt8 ? <usize>rows * <usize>columns : (<usize>rows * <usize>columns) >> 1);
  const blocks = columns / BLOCK;
  const panels = (rows + 7) >> 3;
  const end = partStart(panels, thread + 1, threads);
  for (let panel = partStart(panels, thread, threads); panel < end; panel++) {
    const to = <usize>load<u32>(args, 4) + <usize>panel * <usize>blocks * bytes;
    const first = panel << 3;
    if (rows - first < 8) memory.fill(to, 0, <usize>blocks * bytes);
    for (let row = first; row < min(first + 8, rows); row++) {
      const lane = <usize>(row & 7);
      for (let block = 0; block < blocks; block++) {
        const own = <usize>row * <usize>blocks + <usize>block;
        const at = to + <usize>block * bytes;
        if (isInt8) copyInt8(values + (own << 5), at, lane);
        else copyHalves(values + (own << 4), at + (lane << 2));
        const scale = load<u16>(scales + (own << 1));
        store<u16>(at + (isInt8 ? INT8_VALUES : INT4_VALUES) + (lane << 1), scale);
      }
    }
  }
}

function copyInt8(from: usize, block: usize, lane: usize): void {
  if (hasFours()) {
    const to = block + (lane << 2);
    for (let k: usize = 0; k < 8; k++) store<u32>(to + (k << 5), load<u32>(from + (k << 2)) ^ 0x80808080);
    return;
  }
  let to = block + (lane << 1);
  for (let k = 0; k < BLOCK; k += 2) {
    store<u16>(to, load<u16>(from));
    from += 2;
    to += 16;
  }
}

/** From halves 16 columns apart to halves 4 apart. */
function copyHalves(from: usize, to: usize): void {
  const low = 0x0f0f0f0f;
  for (let k = 0; k < 2; k++) {
    const first = load<u32>(from);
    const second = load<u32>(from, 4);
    store<u32>(to, (first & low) | ((second & low) << 4));
    store<u32>(to, ((first >> 4) & low) | (second & ~low), 64);
    from += 8;
    to += 32;
  }
}
