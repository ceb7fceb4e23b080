// Blocks of logits [tokens] [rows] of the output head: what becomes of them, and what is left at the end.
import { fail, TARGET_OUT_OF_RANGE } from "../../backends/wasm/assembly/control.as";
import { exp } from "../../backends/wasm/assembly/math.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { scaledExp } from "../cross-entropy/kernel.as";
import { logOf, maxOfRow, sumExp } from "../softmax/log-sum-exp.as";

/** A token's running values: largest logit, sum of exponentials under it, logit of the target. */
const RUNNING_BYTES: usize = 12;

/**
 * Takes a block of logits into the running values of its tokens.
 * Arguments: tokens, rows, logits, targets, first row of the block, running values, whether the block is the first.
 */
export function linearCrossEntropyAdd(args: usize, thread: i32, threads: i32): void {
  const tokens = load<i32>(args);
  const rows = load<i32>(args, 4);
  const end = partStart(tokens, thread + 1, threads);
  for (let token = partStart(tokens, thread, threads); token < end; token++) {
    const logits = <usize>load<u32>(args, 8) + <usize>token * (<usize>rows << 2);
    const running = <usize>load<u32>(args, 20) + <usize>token * RUNNING_BYTES;
    const largest = maxOfRow(logits, rows);
    if (load<i32>(args, 24) != 0) {
      store<f32>(running, largest);
      store<f32>(running, sumExp(logits, rows, largest, 0), 4);
    } else {
      const before = load<f32>(running);
      const top = max<f32>(before, largest);
      const kept = load<f32>(running, 4) * f32x4.extract_lane(exp(f32x4.splat(before - top)), 0);
      store<f32>(running, top);
      store<f32>(running, kept + sumExp(logits, rows, top, 0), 4);
    }
    const column = load<i32>(<usize>load<u32>(args, 12) + (<usize>token << 2)) - load<i32>(args, 16);
    if (<u32>column < <u32>rows) store<f32>(running, load<f32>(logits + (<usize>column << 2)), 8);
  }
}

/** Whether a token counts; records a target that is neither ignored nor a class. */
function counts(args: usize, target: i32, classes: i32, ignoreIndex: i32): bool {
  if (target == ignoreIndex) return false;
  if (<u32>target < <u32>classes) return true;
  fail(TARGET_OUT_OF_RANGE, args, target, classes);
  return false;
}

/**
 * Losses of tokens, whether they count, and logarithms of their sums of exponentials, from the running values.
 * Arguments: tokens, classes, ignored target, targets, running values, losses, valid, logSumExp.
 */
export function linearCrossEntropyFinish(args: usize, thread: i32, threads: i32): void {
  const tokens = load<i32>(args);
  const end = partStart(tokens, thread + 1, threads);
  for (let token = partStart(tokens, thread, threads); token < end; token++) {
    const at = <usize>token << 2;
    const running = <usize>load<u32>(args, 16) + <usize>token * RUNNING_BYTES;
    let loss: f32 = 0;
    let valid: f32 = 0;
    let total: f32 = 0;
    if (counts(args, load<i32>(<usize>load<u32>(args, 12) + at), load<i32>(args, 4), load<i32>(args, 8))) {
      const largest = load<f32>(running);
      const logarithm = logOf(load<f32>(running, 4));
      // in this order the large parts cancel exactly
      loss = largest - load<f32>(running, 8) + logarithm;
      total = largest + logarithm;
      valid = 1;
    }
    store<f32>(<usize>load<u32>(args, 20) + at, loss);
    store<f32>(<usize>load<u32>(args, 24) + at, valid);
    store<f32>(<usize>load<u32>(args, 28) + at, total);
  }
}

/**
 * Turns a block of logits into their gradients, in place; 0 for tokens that do not count.
 * Arguments: tokens, rows, logits, targets, first row of the block, classes, ignored target, logSumExp, dlosses or 0,
 * dlogSumExp or 0.
 */
export function linearCrossEntropyGradient(args: usize, thread: i32, threads: i32): void {
  const tokens = load<i32>(args);
  const rows = load<i32>(args, 4);
  const dlosses = <usize>load<u32>(args, 32);
  const dlogSumExp = <usize>load<u32>(args, 36);
  const end = partStart(tokens, thread + 1, threads);
  for (let token = partStart(tokens, thread, threads); token < end; token++) {
    const at = <usize>token << 2;
    const logits = <usize>load<u32>(args, 8) + <usize>token * (<usize>rows << 2);
    const target = load<i32>(<usize>load<u32>(args, 12) + at);
    if (!counts(args, target, load<i32>(args, 20), load<i32>(args, 24))) {
      memory.fill(logits, 0, <usize>rows << 2);
      continue;
    }
    const dloss = dlosses ? load<f32>(dlosses + at) : 0;
    const factor = dlogSumExp ? dloss + load<f32>(dlogSumExp + at) : dloss;
    scaledExp(logits, logits, load<f32>(<usize>load<u32>(args, 28) + at), factor, rows);
    const column = target - load<i32>(args, 16);
    if (<u32>column >= <u32>rows) continue;
    const place = logits + (<usize>column << 2);
    store<f32>(place, load<f32>(place) - dloss);
  }
}
