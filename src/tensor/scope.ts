import { MambaError } from "./errors.ts";
import type { Tensor } from "./tensor.ts";

// Scopes are synchronous, so frames of different streams of work can never interleave on this stack.
const frames: Set<Tensor>[] = [];

/** Adds a new tensor to the innermost scope, if there is one. */
export function adopt(tensor: Tensor): void {
  frames.at(-1)?.add(tensor);
}

/** Takes a disposed tensor out of the scopes that would dispose it again. */
export function forget(tensor: Tensor): void {
  for (const frame of frames) frame.delete(tensor);
}

/**
 * Runs `f` and frees every tensor made inside it, except those reachable from what it returns.
 *
 * @param f - synchronous; tensors may be returned alone or inside arrays, records, maps and sets
 * @returns what `f` returns; its tensors belong to the enclosing scope, if any
 * @throws MambaError with code `ASYNC_SCOPE` if `f` returns a promise
 */
export function scope<Result>(f: () => Result): Result {
  const frame = new Set<Tensor>();
  frames.push(frame);
  let kept = new Set<Tensor>();
  try {
    const result = f();
    assertSynchronous("scope", result);
    kept = tensorsIn(result);
    return result;
  } finally {
    frames.pop();
    const outer = frames.at(-1);
    for (const tensor of frame) {
      if (kept.has(tensor)) outer?.add(tensor);
      else tensor.dispose();
    }
  }
}

/** Throws if a function that must be synchronous returned a promise. */
export function assertSynchronous(where: string, result: unknown): void {
  if (typeof (result as { then?: unknown } | undefined)?.then !== "function") return;
  throw new MambaError(
    `${where}: the function must be synchronous; it returned a promise; await outside and pass the values in`,
    "ASYNC_SCOPE",
  );
}

/** All tensors reachable from a value through arrays, records, maps and sets. */
export function tensorsIn(value: unknown): Set<Tensor> {
  const found = new Set<Tensor>();
  const seen = new Set<object>();
  const visit = (item: unknown): void => {
    if (typeof item !== "object" || item === null || seen.has(item) || ArrayBuffer.isView(item)) return;
    seen.add(item);
    if (isTensor(item)) found.add(item);
    else if (item instanceof Map) for (const [key, inner] of item) visit([key, inner]);
    else if (Array.isArray(item) || item instanceof Set) for (const inner of item) visit(inner);
    else for (const inner of Object.values(item)) visit(inner);
  };
  visit(value);
  return found;
}

/** Marks tensors, so that this module does not import the class that imports it. */
export const tensorBrand: unique symbol = Symbol("mamba.ts tensor");

function isTensor(item: object): item is Tensor {
  return tensorBrand in item;
}
