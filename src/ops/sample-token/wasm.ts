import { f32, type WasmKernel } from "../../backends/wasm/index.ts";

const sampleToken: WasmKernel = (context, { inputs, axes, params }) => {
  const given = ["logits", "ids", "history", "count", "draws"].map((name) => inputs[name]!);
  const [logits, ...changed] = given;
  const number = (name: string): number => params[name] as number;
  const words = [
    ...[axes["batch"]!, axes["vocab"]!, axes["slots"]!, context.address(logits!), logits!.strides[0]! * 4],
    ...changed.map((tensor) => context.address(tensor)),
    ...[f32(number("temperature")), number("topK"), f32(number("topP")), f32(number("minP"))],
    ...[number("seedLow") | 0, number("seedHigh") | 0],
  ];
  const ranges = changed.map((tensor) => context.range(tensor));
  context.command("sampleToken", words, { reads: [context.range(logits!), ...ranges], writes: ranges });
};

/** Wasm kernels of this folder. */
export const sampleTokenWasm = { sampleToken } as const satisfies Record<string, WasmKernel>;
