import type { Range, WasmKernel } from "../../backends/wasm/index.ts";

const tridiagonalSolve: WasmKernel = (context, { inputs, outputs, axes }) => {
  const y = outputs["y"]!;
  if (y.size === 0) return;
  const { systems, state, columns } = axes as { systems: number; state: number; columns: number };
  const given = ["lower", "diagonal", "upper", "x"].map((name) => inputs[name]!);
  const bytes = 8 * state * context.threads;
  const scratch: Range = [context.scratch(bytes), bytes];
  const words = [...given, y].map((tensor) => context.address(tensor));
  context.command("tridiagonalSolve", [...words, systems, state, columns, scratch[0]], {
    reads: given.map((tensor) => context.range(tensor)),
    writes: [context.range(y), scratch],
  });
};

/** Wasm kernels of this folder. */
export const tridiagonalSolveWasm = { tridiagonalSolve } as const satisfies Record<string, WasmKernel>;
