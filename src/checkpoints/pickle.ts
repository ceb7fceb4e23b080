import { PickleMachine, type PickleRules } from "./pickle-machine.ts";
import { operations } from "./pickle-operations.ts";
import type { PickleValue } from "./pickle-values.ts";

/** A pickle with more steps than this describes no model (a tensor takes about 40). */
const mostSteps = 1_000_000;

/**
 * Reads a pickle with a machine of our own. It builds plain values and calls nothing but the functions that `rules`
 * provide; any other imported name is refused, so nothing in the file is ever executed.
 *
 * @throws CheckpointError if the pickle is damaged, or needs something that is not allowed
 * @see Python's `pickletools` for the meaning of the operations
 */
export function readPickle(bytes: Uint8Array, rules: PickleRules): PickleValue {
  const machine = new PickleMachine(bytes, rules);
  for (let step = 0; step < mostSteps; step++) {
    const code = machine.byte();
    if (code === stop) return machine.pop();
    const operation = operations.get(code);
    if (!operation) throw machine.fail(`operation 0x${code.toString(16)} is not one that a weights file needs`);
    operation(machine);
  }
  throw machine.fail(`it takes more than ${mostSteps} steps`);
}

const stop = 0x2e;
