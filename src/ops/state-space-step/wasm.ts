import type { WasmKernel } from "../../backends/wasm/index.ts";

const stateSpaceStep: WasmKernel = (context, { inputs, outputs, axes }) => {
  const [y, next] = [outputs["y"]!, outputs["next"]!];
  if (y.size === 0 && next.size === 0) return;
  const given = ["u", "state", "system", "C", "D"].map((name) => inputs[name]!);
  const sizes = ["batch", "features", "pairs", "outputs", "rows"].map((name) => axes[name]!);
  const words = [...given, y, next].map((tensor) => context.address(tensor));
  context.command("stateSpaceStep", [...words, ...sizes], {
    reads: given.map((tensor) => context.range(tensor)),
    writes: [context.range(y), context.range(next)],
  });
};

/** Wasm kernels of this folder. */
export const stateSpaceStepWasm = { stateSpaceStep } as const satisfies Record<string, WasmKernel>;
