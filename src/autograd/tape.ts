import { add } from "../ops/elementwise/index.ts";
import type { GradientCall, Op, Tensors } from "../ops/op.ts";
import type { KernelCall, Recorder } from "../tensor/device.ts";
import { type DType, isFloat } from "../tensor/dtype.ts";
import { MambaError } from "../tensor/errors.ts";
import { scope } from "../tensor/scope.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { isQuantized } from "../tensor/weight-formats.ts";
import { KeptValue, Recipe, type SavedValue } from "./saved.ts";

/** Gradients by the id of the value they belong to. The map owns its tensors. */
export type GradientMap = Map<number, Tensor>;

/** One step of the computation, to be walked backwards. */
interface Node {
  /** Ids of the outputs, by name. */
  readonly outputs: Readonly<Record<string, number>>;
  /** Adds this step's share to the gradients of its inputs. */
  backward(gradients: Tensors, into: GradientMap): void;
  release(): void;
}

/** Records the ops whose inputs depend on the tracked tensors, and walks them backwards. */
export class Tape implements Recorder {
  readonly #tracked: Set<number>;
  readonly #nodes: Node[] = [];
  readonly #recipes = new Map<number, Recipe>();

  /** @param tracked - ids of the values that gradients are wanted for */
  constructor(tracked: Iterable<number>) {
    this.#tracked = new Set(tracked);
  }

  /** Ids of all values that depend on the tracked ones so far. */
  get tracked(): ReadonlySet<number> {
    return this.#tracked;
  }

  record(operation: unknown, call: KernelCall): void {
    const op = operation as Op;
    const needs = new Set<string>();
    for (const [name, input] of Object.entries(call.inputs)) {
      if (input && canCarryGradient(input.dtype) && this.#tracked.has(input.id)) needs.add(name);
    }
    if (needs.size === 0) return;
    this.push(this.#opNode(op, call, needs), Object.values(call.outputs));
  }

  /** Adds a step whose outputs depend on tracked values. */
  push(node: Node, outputs: readonly Tensor[]): void {
    this.#nodes.push(node);
    for (const output of outputs) this.#tracked.add(output.id);
  }

  /** From now on a value is not kept for backward but made again, from `inputs`, which are. */
  makeAgain(value: Tensor, make: (inputs: readonly Tensor[]) => Tensor, inputs: readonly Tensor[]): void {
    const kept = inputs.map((input) => this.save(input));
    this.#recipes.set(value.id, new Recipe(kept, make));
  }

  /** Keeps a value for backward, or the way to it. */
  save(value: Tensor): SavedValue {
    return this.#recipes.get(value.id)?.save() ?? new KeptValue(value);
  }

  #opNode(op: Op, call: KernelCall, needs: ReadonlySet<string>): Node {
    const saved = new Map<string, SavedValue>();
    for (const name of op.saved ?? []) {
      const tensor = call.inputs[name] ?? call.outputs[name];
      if (tensor) saved.set(name, this.save(tensor));
    }
    return opNode(op, call, needs, saved);
  }

  /** Walks the recorded steps backwards; every step's saved tensors are freed as soon as it is done. */
  backward(into: GradientMap): void {
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
      const gradients: Record<string, Tensor> = {};
      for (const [name, id] of Object.entries(node.outputs)) {
        const gradient = into.get(id);
        if (gradient) gradients[name] = gradient;
      }
      try {
        if (Object.keys(gradients).length > 0) node.backward(gradients, into);
      } finally {
        node.release();
      }
      for (const name of Object.keys(gradients)) {
        into.get(node.outputs[name]!)?.dispose();
        into.delete(node.outputs[name]!);
      }
    }
  }

  /** Frees what is still saved. */
  release(): void {
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) node.release();
    for (const recipe of this.#recipes.values()) recipe.release();
    this.#recipes.clear();
  }
}

function opNode(op: Op, call: KernelCall, needs: ReadonlySet<string>, saved: Map<string, SavedValue>): Node {
  const inputIds: Record<string, number> = {};
  for (const name of needs) inputIds[name] = call.inputs[name]!.id;
  const shapes = shapesOf(call);
  return {
    outputs: Object.fromEntries(Object.entries(call.outputs).map(([name, output]) => [name, output.id])),
    backward: (gradients, into) => {
      const values: Record<string, Tensor> = {};
      for (const [name, entry] of saved) values[name] = entry.get(op.name, name);
      accumulate(runGradient(op, { saved: values, gradients, needs, shapes, params: call.params }), inputIds, into);
    },
    release: () => {
      for (const entry of saved.values()) entry.release();
      saved.clear();
    },
  };
}

function shapesOf(call: KernelCall): Record<string, Shape> {
  const shapes: Record<string, Shape> = {};
  for (const [name, tensor] of [...Object.entries(call.inputs), ...Object.entries(call.outputs)]) {
    if (tensor) shapes[name] = tensor.shape;
  }
  return shapes;
}

function runGradient(op: Op, call: GradientCall): Record<string, Tensor> {
  const { gradient } = op;
  if (!gradient) {
    throw new MambaError(
      `backward of ${op.name}: the op must have a gradient; it has none; keep it out of valueAndGrad()`,
      "NO_GRADIENT",
      { op: op.name },
    );
  }
  const given = new Set(Object.values(call.gradients));
  return scope(() => {
    const kept: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(gradient(call))) {
      // what the rule passes on unchanged is still owned by the map
      if (tensor && call.needs.has(name)) kept[name] = given.has(tensor) ? tensor.alias() : tensor;
    }
    return kept;
  });
}

function accumulate(fresh: Record<string, Tensor>, ids: Readonly<Record<string, number>>, into: GradientMap): void {
  for (const [name, tensor] of Object.entries(fresh)) addGradient(into, ids[name]!, tensor);
  for (const tensor of new Set(Object.values(fresh))) tensor.dispose();
}

/** Adds a share to the gradient of a value; the caller keeps its own handle. */
export function addGradient(into: GradientMap, id: number, share: Tensor): void {
  const known = into.get(id);
  if (!known) {
    into.set(id, share.alias());
    return;
  }
  const total = scope(() => add(known, share));
  into.set(id, total.alias());
  total.dispose();
  known.dispose();
}

/** A step that runs a part of the computation again to walk it backwards. */
export function recomputeNode(
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  replay: (inputs: readonly Tensor[], outputGradients: readonly (Tensor | undefined)[], into: GradientMap) => void,
): Node {
  const saved = inputs.map((input) => new KeptValue(input));
  return {
    outputs: Object.fromEntries(outputs.map((output, i) => [`output${i}`, output.id])),
    backward: (gradients, into) => {
      const values = saved.map((entry, i) => entry.get("recompute", `input ${i}`));
      replay(
        values,
        outputs.map((_, i) => gradients[`output${i}`]),
        into,
      );
    },
    release: () => {
      for (const entry of saved) entry.release();
    },
  };
}

/** Rounded weights too: the rules of what they are used in say that they cannot be trained. */
function canCarryGradient(dtype: DType): boolean {
  return isFloat(dtype) || isQuantized(dtype);
}
