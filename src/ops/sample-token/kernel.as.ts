import { exp } from "../../backends/wasm/assembly/math.as";
import { philox } from "../../backends/wasm/assembly/philox.as";

/** The row at work. */
let logits: usize = 0;
let vocab: i32 = 0;
let largest: f32 = 0;
let temperature: f32 = 1;
/** Ids with a larger key are candidates, and of those with this one the first few. */
let edge: u32 = 0;
let ties: i32 = i32.MAX_VALUE;

/** Larger for larger logits; equal for both zeros. */
function keyAt(id: i32): u32 {
  const bits = load<u32>(logits + (<usize>id << 2));
  if (bits == 0x80000000) return bits;
  return bits >> 31 ? ~bits : bits | 0x80000000;
}

function weightAt(id: i32): f64 {
  const logit = load<f32>(logits + (<usize>id << 2));
  if (logit == largest) return 1;
  return <f64>f32x4.extract_lane(exp(f32x4.splat((logit - largest) / temperature)), 0);
}

/** The largest logit; NaN where a row has what nothing can be drawn from. */
function largestOf(): f32 {
  let most: f32 = -Infinity;
  for (let id = 0; id < vocab; id++) {
    const logit = load<f32>(logits + (<usize>id << 2));
    if (!(logit < Infinity)) return NaN;
    most = max(most, logit);
  }
  return most == -Infinity ? NaN : most;
}

/** Sum over candidates of at least some key: of weights, or of ones. */
function sumFrom(key: u32, weighted: bool): f64 {
  let sum: f64 = 0;
  let left = ties;
  for (let id = 0; id < vocab; id++) {
    const own = keyAt(id);
    if (own < edge || (own == edge && --left < 0) || own < key) continue;
    sum += weighted ? weightAt(id) : 1;
  }
  return sum;
}

/** Leaves the fewest likeliest candidates whose sum reaches `aim`. */
function keep(aim: f64, weighted: bool): void {
  let key: u32 = 0;
  for (let bit: u32 = 0x80000000; bit > 0; bit >>= 1) {
    if (sumFrom(key | bit, weighted) >= aim) key |= bit;
  }
  key = max(key, edge);
  // candidates of that key, and the sum of those before
  const before = key == u32.MAX_VALUE ? 0 : sumFrom(key + 1, weighted);
  const most = key == edge ? ties : i32.MAX_VALUE;
  let each: f64 = 1;
  for (let id = 0; id < vocab; id++) if (keyAt(id) == key) each = weighted ? weightAt(id) : 1;
  const wanted = max(1, ceil((aim - before) / each));
  edge = key;
  ties = wanted < <f64>most ? <i32>wanted : most;
}

/** The first candidate at which the sum exceeds a share of the sum of all. */
function drawn(share: f64, least: f32): i32 {
  let aim: f64 = 0;
  for (let pass = 0; pass < 2; pass++) {
    let sum: f64 = 0;
    let left = ties;
    for (let id = 0; id < vocab; id++) {
      const own = keyAt(id);
      if (own < edge || (own == edge && --left < 0)) continue;
      const weight = weightAt(id);
      if (weight < <f64>least) continue;
      sum += weight;
      if (pass == 1 && sum > aim) return id;
    }
    aim = share * sum;
  }
  return 0;
}

function sample(args: usize, draws: usize): i32 {
  vocab = load<i32>(args, 4);
  temperature = load<f32>(args, 36);
  edge = 0;
  ties = i32.MAX_VALUE;
  largest = largestOf();
  if (largest != largest) return -1;
  const topK = load<i32>(args, 40);
  const topP = load<f32>(args, 44);
  if (topK > 0 && topK < vocab) keep(topK, false);
  if (topP < 1) keep(<f64>topP * sumFrom(0, true), true);
  const word = load<u32>(draws, 4);
  store<u32>(draws, word + 1, 4);
  const words = philox(word >> 2, load<u32>(draws), load<u32>(args, 52), load<u32>(args, 56));
  const lane = word & 3;
  const low = lane == 0 ? i32x4.extract_lane(words, 0) : i32x4.extract_lane(words, 1);
  const high = lane == 2 ? i32x4.extract_lane(words, 2) : i32x4.extract_lane(words, 3);
  return drawn(<f64>(<u32>(lane < 2 ? low : high) >> 8) * 5.960464477539063e-8, load<f32>(args, 48));
}

/**
 * An id of each row, by one thread. Words: batch, vocab, slots, logits, their row stride in bytes, ids, history, count, draws,
 * temperature, topK, topP, minP, seed (low, high).
 */
export function sampleToken(args: usize, thread: i32, threads: i32): void {
  if (thread != 0) return;
  const batch = load<i32>(args);
  const count = <usize>load<u32>(args, 28);
  const slot = load<i32>(count) % load<i32>(args, 8);
  for (let b = 0; b < batch; b++) {
    logits = <usize>load<u32>(args, 12) + <usize>b * <usize>load<u32>(args, 16);
    const id = sample(args, <usize>load<u32>(args, 32) + (<usize>b << 3));
    store<i32>(<usize>load<u32>(args, 24) + (<usize>(slot * batch + b) << 2), id);
    store<i32>(<usize>load<u32>(args, 20) + (<usize>b << 2), max(id, 0));
  }
  store<i32>(count, load<i32>(count) + 1);
}
