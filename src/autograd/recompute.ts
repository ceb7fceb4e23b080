import { scope } from "../tensor/scope.ts";
import { backendOf, type Tensor } from "../tensor/tensor.ts";
import { addGradient, recomputeNode, Tape } from "./tape.ts";
import { recorded } from "./value-and-grad.ts";

/**
 * Tells the recorder that a value need not be kept for backward: where a gradient rule reads it, it is made again, once, from other
 * values. For what is large and quickly made, as norms and short convolutions. Without a recorder nothing happens.
 *
 * Call it before the value is used, or those uses keep it.
 *
 * @param value - what an op has just made; views of it are kept as ever
 * @param make - gives the same bits again; parameters may be captured, activations must come through `inputs`
 * @param inputs - kept instead
 */
export function makeAgain(value: Tensor, make: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): void {
  const backend = backendOf(value.device);
  const { recorder } = backend;
  if (!(recorder instanceof Tape)) return;
  const again = (given: readonly Tensor[]): Tensor => {
    const made = recorded(backend, undefined, () => scope(() => make(...given)));
    const kept = made.alias();
    made.dispose();
    return kept;
  };
  recorder.makeAgain(value, again, inputs);
}

/**
 * Runs a part of a model so that only its inputs are saved for backward; its inside is run again there.
 *
 * Trades one more forward pass of `f` for the memory of everything it would have saved (activation
 * checkpointing). Without a recorder it just calls `f`.
 *
 * @param f - synchronous and repeatable: the same inputs give the same outputs; random ops must take their
 *   counters from outside. Parameters may be captured; activations must come through `inputs`
 * @param inputs - the activations that `f` depends on
 * @returns what `f` returns
 */
export function recompute(f: (...inputs: Tensor[]) => Tensor[], inputs: readonly Tensor[]): Tensor[] {
  const backend = backendOf(inputs[0]!.device);
  const outer = backend.recorder;
  if (!(outer instanceof Tape)) return f(...inputs);
  const outputs = recorded(backend, undefined, () => scope(() => f(...inputs)));
  const tracked = outer.tracked;
  const node = recomputeNode(inputs, outputs, (values, outputGradients, into) => {
    scope(() => {
      const inner = new Tape(tracked);
      try {
        const again = recorded(backend, inner, () => f(...values));
        again.forEach((output, i) => {
          const gradient = outputGradients[i];
          if (gradient) addGradient(into, output.id, gradient);
        });
        inner.backward(into);
      } finally {
        inner.release();
      }
    });
  });
  outer.push(node, outputs);
  return outputs;
}
