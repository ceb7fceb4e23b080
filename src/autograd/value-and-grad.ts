import type { Backend } from "../tensor/device.ts";
import { DtypeError, MambaError, ShapeError } from "../tensor/errors.ts";
import type { Parameters } from "../tensor/parameters.ts";
import { assertSynchronous, scope, tensorsIn } from "../tensor/scope.ts";
import { formatShape } from "../tensor/shape.ts";
import { backendOf, Tensor, tensor, zeros } from "../tensor/tensor.ts";
import { type GradientMap, Tape } from "./tape.ts";

/** What the function of {@link valueAndGrad} may return. */
export type Objective<Aux> = Tensor | { readonly value: Tensor; readonly aux: Aux };

/** Result of {@link valueAndGrad}. */
export interface ValueAndGrad<P, Aux> {
  /** The objective, a tensor of one element. */
  readonly value: Tensor;
  readonly aux: Aux | undefined;
  /** d value / d parameter, in the shape of `parameters`. */
  readonly gradients: P;
}

/**
 * Runs a scalar function and computes its gradients by reverse accumulation.
 *
 * Only ops that depend on the parameters are recorded, each keeps only what its gradient needs, and
 * everything else made inside `f` is freed. Second derivatives are out of scope.
 *
 * @param f - synchronous; returns a tensor of one element, or that as `value` beside any `aux`
 * @param parameters - nested records of float tensors, all on one device
 * @throws ShapeError if the value has more than one element
 * @throws MambaError with code `NESTED_GRADIENT` inside another valueAndGrad on the same device
 */
export function valueAndGrad<P extends Parameters, Aux = undefined>(
  f: (parameters: P) => Objective<Aux>,
  parameters: P,
): ValueAndGrad<P, Aux> {
  const leaves = [...tensorsIn(parameters)];
  const backend = backendOf(firstOf(leaves).device);
  if (backend.recorder) {
    throw new MambaError(
      "valueAndGrad: must not run inside another valueAndGrad on the same device; it did; second derivatives are out of scope",
      "NESTED_GRADIENT",
    );
  }
  return scope(() => {
    const tape = new Tape(leaves.map((leaf) => leaf.id));
    const gradients: GradientMap = new Map();
    try {
      const result = recorded(backend, tape, () => f(parameters));
      const { value, aux } = result instanceof Tensor ? { value: result, aux: undefined } : result;
      checkValue(value);
      gradients.set(value.id, tensor([1], value.shape, { device: value.device, dtype: value.dtype }).alias());
      tape.backward(gradients);
      return { value, aux, gradients: collect(parameters, gradients) };
    } finally {
      tape.release();
      for (const gradient of gradients.values()) gradient.dispose();
    }
  });
}

function firstOf(leaves: readonly Tensor[]): Tensor {
  const first = leaves[0];
  if (!first) {
    throw new ShapeError("valueAndGrad: parameters must hold at least one tensor; got none; pass the model's", {});
  }
  return first;
}

/** Runs `f` with a tape installed. */
export function recorded<Result>(backend: Backend, tape: Tape | undefined, f: () => Result): Result {
  const outer = backend.recorder;
  backend.recorder = tape;
  try {
    const result = f();
    assertSynchronous("valueAndGrad", result);
    return result;
  } finally {
    backend.recorder = outer;
  }
}

function checkValue(value: Tensor): void {
  if (value.size !== 1) {
    throw new ShapeError(
      `valueAndGrad: the function must return a tensor of one element; got ${formatShape(value.shape)}; take sum() or mean()`,
      { actual: value.shape },
    );
  }
  if (value.dtype !== "float32" && value.dtype !== "float64") {
    throw new DtypeError(`valueAndGrad: the value must be float32; got ${value.dtype}; cast it`, {
      actual: value.dtype,
    });
  }
}

function collect<P extends Parameters>(parameters: P, gradients: GradientMap): P {
  const out: Record<string, Tensor | Parameters> = {};
  for (const [name, entry] of Object.entries(parameters)) {
    out[name] = entry instanceof Tensor ? gradientOf(entry, gradients) : collect(entry, gradients);
  }
  return out as P;
}

function gradientOf(parameter: Tensor, gradients: GradientMap): Tensor {
  const known = gradients.get(parameter.id);
  if (!known) return zeros(parameter.shape, { device: parameter.device, dtype: parameter.dtype });
  // a handle that scopes know about, in place of the map's own
  return known.adopted();
}
