import type { WasmKernel } from "../../backends/wasm/index.ts";

const likeliestToken: WasmKernel = (context, { inputs, axes }) => {
  const [logits, ids, history, count] = ["logits", "ids", "history", "count"].map((name) => inputs[name]!);
  const sizes = [axes["batch"]!, axes["vocab"]!, axes["slots"]!];
  const places = [ids!, history!, count!].map((tensor) => context.address(tensor));
  const changed = [ids!, history!, count!].map((tensor) => context.range(tensor));
  context.command("likeliestToken", [...sizes, context.address(logits!), logits!.strides[0]! * 4, ...places], {
    reads: [context.range(logits!), ...changed],
    writes: changed,
  });
};

/** Wasm kernels of this folder. */
export const likeliestTokenWasm = { likeliestToken } as const satisfies Record<string, WasmKernel>;
