import { fail, TARGET_OUT_OF_RANGE } from "../../backends/wasm/assembly/control.as";
import { exp } from "../../backends/wasm/assembly/math.as";
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { logOf, maxOfRow, sumExp } from "../softmax/log-sum-exp.as";

/** Whether a token counts; records a target that is neither ignored nor a class. */
function counts(args: usize, target: i32, classes: i32, ignoreIndex: i32): bool {
  if (target == ignoreIndex) return false;
  if (<u32>target < <u32>classes) return true;
  fail(TARGET_OUT_OF_RANGE, args, target, classes);
  return false;
}

/**
 * Losses of tokens, whether they count, and logarithms of their sums of exponentials; all 0 where they do not.
 *
 * Words: tokens, classes, ignored target, logits, their row stride in bytes, targets, losses, valid, logSumExp.
 */
export function crossEntropy(args: usize, thread: i32, threads: i32): void {
  const tokens = load<i32>(args);
  const classes = load<i32>(args, 4);
  const end = partStart(tokens, thread + 1, threads);
  for (let token = partStart(tokens, thread, threads); token < end; token++) {
    const at = <usize>token << 2;
    const target = load<i32>(<usize>load<u32>(args, 20) + at);
    let loss: f32 = 0;
    let valid: f32 = 0;
    let total: f32 = 0;
    if (counts(args, target, classes, load<i32>(args, 8))) {
      const logits = <usize>load<u32>(args, 12) + <usize>token * <usize>load<u32>(args, 16);
      const largest = maxOfRow(logits, classes);
      const logarithm = logOf(sumExp(logits, classes, largest, 0));
      // in this order the large parts cancel exactly
      loss = largest - load<f32>(logits + (<usize>target << 2)) + logarithm;
      total = largest + logarithm;
      valid = 1;
    }
    store<f32>(<usize>load<u32>(args, 24) + at, loss);
    store<f32>(<usize>load<u32>(args, 28) + at, valid);
    store<f32>(<usize>load<u32>(args, 32) + at, total);
  }
}

/** to = factor e^(x - shift). */
export function scaledExp(to: usize, x: usize, shift: f32, factor: f32, count: i32): void {
  const shifts = f32x4.splat(shift);
  const factors = f32x4.splat(factor);
  const rest = count & 3;
  const whole = <usize>(count - rest) << 2;
  for (let i: usize = 0; i < whole; i += 16) {
    v128.store(to + i, f32x4.mul(exp(f32x4.sub(v128.load(x + i), shifts)), factors));
  }
  if (rest) storePartial(to + whole, f32x4.mul(exp(f32x4.sub(loadPartial(x + whole, rest), shifts)), factors), rest);
}

/**
 * Gradients of logits; 0 for tokens that do not count.
 *
 * Words: tokens, classes, ignored target, logits, their row stride in bytes, targets, logSumExp, dlosses or 0,
 * dlogSumExp or 0, dlogits.
 */
export function crossEntropyBackward(args: usize, thread: i32, threads: i32): void {
  const tokens = load<i32>(args);
  const classes = load<i32>(args, 4);
  const dlosses = <usize>load<u32>(args, 28);
  const dlogSumExp = <usize>load<u32>(args, 32);
  const end = partStart(tokens, thread + 1, threads);
  for (let token = partStart(tokens, thread, threads); token < end; token++) {
    const at = <usize>token << 2;
    const target = load<i32>(<usize>load<u32>(args, 20) + at);
    const dlogits = <usize>load<u32>(args, 36) + (<usize>(token * classes) << 2);
    if (!counts(args, target, classes, load<i32>(args, 8))) {
      memory.fill(dlogits, 0, <usize>classes << 2);
      continue;
    }
    const logits = <usize>load<u32>(args, 12) + <usize>token * <usize>load<u32>(args, 16);
    const dloss = dlosses ? load<f32>(dlosses + at) : 0;
    const factor = dlogSumExp ? dloss + load<f32>(dlogSumExp + at) : dloss;
    scaledExp(dlogits, logits, load<f32>(<usize>load<u32>(args, 24) + at), factor, classes);
    const place = dlogits + (<usize>target << 2);
    store<f32>(place, load<f32>(place) - dloss);
  }
}
