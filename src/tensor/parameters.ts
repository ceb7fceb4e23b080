import { Tensor } from "./tensor.ts";

/** Tensors in nested records; their flattened names are checkpoint names through `checkpoints/name-map.ts`. */
export type Parameters = { readonly [name: string]: Tensor | Parameters };

/** Flat map from dotted names to the tensors of nested records, in order. */
export function flattenParameters(parameters: Parameters, prefix = ""): Map<string, Tensor> {
  const flat = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries(parameters)) {
    if (entry instanceof Tensor) flat.set(prefix + name, entry);
    else for (const [inner, tensor] of flattenParameters(entry, `${prefix}${name}.`)) flat.set(inner, tensor);
  }
  return flat;
}

/** Nested records from dotted names. */
export function nestParameters(flat: Iterable<readonly [string, Tensor]>): Parameters {
  const root: Record<string, unknown> = {};
  for (const [name, tensor] of flat) {
    const path = name.split(".");
    const last = path.pop()!;
    let level = root;
    for (const part of path) level = (level[part] ??= {}) as Record<string, unknown>;
    level[last] = tensor;
  }
  return root as Parameters;
}
