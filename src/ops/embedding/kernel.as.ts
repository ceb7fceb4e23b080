import { barrier } from "../../backends/wasm/assembly/barrier.as";
import { fail, ID_OUT_OF_RANGE } from "../../backends/wasm/assembly/control.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { copyWeightRow } from "../matmul/weights.as";

/** Channels that one thread adds at a time in the backward pass. */
const CHANNEL_BLOCK: i32 = 64;

/**
 * Rows of a table by id; an id out of range gives zeros and a late error.
 * Arguments: table, its row stride in bytes or 0 for panels of 8 rows, vocab, channels, ids, count, y, type of the table.
 */
export function embeddingGather(args: usize, thread: i32, threads: i32): void {
  const vocab = load<i32>(args, 8);
  const channels = load<i32>(args, 12);
  const count = load<i32>(args, 20);
  const bytes = <usize>channels << 2;
  const end = partStart(count, thread + 1, threads);
  for (let i = partStart(count, thread, threads); i < end; i++) {
    const id = load<i32>(<usize>load<u32>(args, 16) + (<usize>i << 2));
    const y = <usize>load<u32>(args, 24) + <usize>i * bytes;
    if (<u32>id < <u32>vocab) copyRow(args, id, y, channels);
    else {
      memory.fill(y, 0, bytes);
      fail(ID_OUT_OF_RANGE, args, id, vocab);
    }
  }
}

function copyRow(args: usize, id: i32, y: usize, channels: i32): void {
  const table = <usize>load<u32>(args);
  const stride = <usize>load<u32>(args, 4);
  if (stride != 0) {
    memory.copy(y, table + <usize>id * stride, <usize>channels << 2);
    return;
  }
  copyWeightRow(load<i32>(args, 28), table, id, channels, y);
}

/**
 * Adds each row of dy to the table's row of its id, in the order of the ids.
 *
 * A thread owns blocks of channels of some ids, so that nothing is shared and the order of sums is always the same.
 * Arguments: ids, count, dy, its row stride in bytes, dtable, vocab, channels.
 */
export function embeddingScatter(args: usize, thread: i32, threads: i32): void {
  const vocab = load<i32>(args, 20);
  const channels = load<i32>(args, 24);
  const table = <usize>load<u32>(args, 16);
  const row = <usize>channels << 2;
  const zeroed = partStart(vocab, thread, threads);
  memory.fill(table + <usize>zeroed * row, 0, <usize>(partStart(vocab, thread + 1, threads) - zeroed) * row);
  barrier(threads);
  const ids = <usize>load<u32>(args);
  const count = load<i32>(args, 4);
  for (let i = 0; i < count; i++) {
    const id = load<i32>(ids + (<usize>i << 2));
    if (<u32>id >= <u32>vocab) {
      fail(ID_OUT_OF_RANGE, args, id, vocab);
      continue;
    }
    const from = <usize>load<u32>(args, 8) + <usize>i * load<u32>(args, 12);
    for (let c = 0, owner = id; c < channels; c += CHANNEL_BLOCK, owner++) {
      if (owner % threads != thread) continue;
      const at = <usize>c << 2;
      addBlock(table + <usize>id * row + at, from + at, min(CHANNEL_BLOCK, channels - c));
    }
  }
}

function addBlock(to: usize, from: usize, count: i32): void {
  for (; count >= 4; count -= 4) {
    v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
    to += 16;
    from += 16;
  }
  for (; count > 0; count--) {
    store<f32>(to, load<f32>(to) + load<f32>(from));
    to += 4;
    from += 4;
  }
}
