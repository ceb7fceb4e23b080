import type { WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const SOFTPLUS = 1;
const ABSENT = 0;

/** Address and strides in bytes of the first axes. */
function strided(context: WasmKernelContext, tensor: Tensor | undefined, axes: number): number[] {
  if (!tensor) return new Array<number>(axes + 1).fill(ABSENT);
  return [context.address(tensor), ...tensor.strides.slice(0, axes).map((stride) => stride * 4)];
}

const stateUpdate: WasmKernel = (context, { axes, inputs, outputs, params }) => {
  const { h, u, delta, A, B, C, D, z, deltaBias } = inputs;
  const y = outputs["y"]!;
  const optional = (tensor: Tensor | undefined): number => (tensor ? context.address(tensor) : ABSENT);
  const words = [
    ...["batch", "channels", "state", "groups"].map((name) => axes[name]!),
    params["deltaSoftplus"] ? SOFTPLUS : 0,
    ...[context.address(h!), context.address(A!), optional(D), optional(deltaBias), context.address(y)],
    ...strided(context, u, 1),
    ...strided(context, delta, 1),
    ...strided(context, z, 1),
    ...strided(context, B, 2),
    ...strided(context, C, 2),
  ];
  const given = Object.values(inputs).filter((tensor) => tensor !== undefined);
  context.command("stateUpdate", words, {
    reads: given.map((tensor) => context.range(tensor)),
    writes: [context.range(h!), context.range(y)],
  });
};

/** Wasm kernels of this folder. */
export const stateUpdateWasm = { stateUpdate } as const satisfies Record<string, WasmKernel>;
