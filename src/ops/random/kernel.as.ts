import { storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { philox } from "../../backends/wasm/assembly/philox.as";

/** y[i] = (word i of the stream >>> 8) 2^-24. Words: count, y, seed (low, high), stream. */
export function fillUniform(args: usize, thread: i32, threads: i32): void {
  const count = load<i32>(args);
  const y = <usize>load<u32>(args, 4);
  const unit = f32x4.splat(5.960464477539063e-8);
  const blocks = (count + 3) >> 2;
  const end = partStart(blocks, thread + 1, threads);
  for (let block = partStart(blocks, thread, threads); block < end; block++) {
    const words = philox(block, load<u32>(args, 16), load<u32>(args, 8), load<u32>(args, 12));
    const values = f32x4.mul(f32x4.convert_i32x4_u(i32x4.shr_u(words, 8)), unit);
    const left = count - (block << 2);
    const at = y + (<usize>block << 4);
    if (left >= 4) v128.store(at, values);
    else storePartial(at, values, left);
  }
}
