import type { Bound, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";

/** Outputs besides y, in the order in which they lie where they share a buffer. */
export const stateOutputs = ["finalState", "segmentStates", "chunkStates"] as const;

/** Where states go: each to its tensor, or one behind another in scratch where the device binds few buffers. */
export interface StatePlaces {
  readonly names: readonly string[];
  readonly bound: readonly Bound[];
  readonly bufferOf: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, number>>;
  readonly key: string;
}

export function placeStates(
  context: WebgpuKernelContext,
  { outputs }: KernelCall,
  wanted: readonly string[],
  isPacked: boolean,
): StatePlaces {
  const values: Record<string, number> = Object.fromEntries(stateOutputs.map((name) => [`${name}At`, 0]));
  const key = `${wanted.join(" ")}${isPacked ? " packed" : ""}`;
  if (!isPacked) {
    for (const name of wanted) values[`${name}At`] = outputs[name]!.offset;
    const bufferOf = Object.fromEntries(wanted.map((name) => [name, name]));
    return { names: wanted, bound: wanted.map((name) => outputs[name]!), bufferOf, values, key };
  }
  let size = 0;
  for (const name of wanted) {
    values[`${name}At`] = size;
    size += outputs[name]!.size;
  }
  const bufferOf = Object.fromEntries(wanted.map((name) => [name, "kept"]));
  return { names: ["kept"], bound: [context.scratch(4 * size)], bufferOf, values, key };
}
