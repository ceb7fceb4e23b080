import { f32, type Range, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { encodeConvStep } from "../causal-conv/wasm.ts";
import { encodeProduct } from "../matmul/product.ts";
import { weightOperand } from "../matmul/weight.ts";
import { encodeStateStep } from "../state-update/wasm.ts";

const FLOAT_BYTES = 4;

/** Rows [batch width] in wasm memory. */
interface Rows {
  readonly address: number;
  readonly width: number;
  /** In bytes. */
  readonly rowStride: number;
  readonly range: Range;
}

/** Writes the commands of a block over rows [batch ...] in scratch. */
class BlockEncoder {
  readonly #context: WasmKernelContext;
  readonly #batch: number;

  constructor(context: WasmKernelContext, batch: number) {
    this.#context = context;
    this.#batch = batch;
  }

  scratch(width: number): Rows {
    const bytes = this.#batch * width * FLOAT_BYTES;
    const address = this.#context.scratch(bytes);
    return { address, width, rowStride: width * FLOAT_BYTES, range: [address, bytes] };
  }

  /** A dense tensor [batch width]. */
  tensor(x: Tensor): Rows {
    const width = x.shape[1]!;
    return { address: this.#context.address(x), width, rowStride: width * FLOAT_BYTES, range: this.#context.range(x) };
  }

  norm(x: Rows, epsilon: number, weight?: Tensor): Rows {
    const context = this.#context;
    const y = this.scratch(x.width);
    const scale = weight ? context.address(weight) : 0;
    const input = [x.address, 0, this.#batch, x.rowStride, 0] as const;
    const words = [this.#batch, x.width, 1, f32(epsilon), scale, y.address, 0, ...input];
    const reads = weight ? [x.range, context.range(weight)] : [x.range];
    context.command("rmsNorm", words, { reads, writes: [y.range] });
    return y;
  }

  linear(x: Rows, w: Tensor, bias?: Pick<Rows, "address" | "range">, y: Rows = this.scratch(w.shape[0]!)): Rows {
    const { address, rowStride, range } = x;
    encodeProduct(this.#context, {
      a: { address, rowStride, columnStride: FLOAT_BYTES, batchStride: 0, range },
      b: weightOperand(this.#context, w),
      y: { address: y.address, rowStride: y.rowStride, batchStride: 0, range: y.range },
      rows: this.#batch,
      inner: w.shape[1]!,
      columns: w.shape[0]!,
      bias,
    });
    return y;
  }

  vector(bias: Tensor | undefined): Pick<Rows, "address" | "range"> | undefined {
    return bias && { address: this.#context.address(bias), range: this.#context.range(bias) };
  }

  /** y = x + w a + bias; the residual of a single row is added as if it were the bias. */
  linearWithResidual(a: Rows, w: Tensor, bias: Tensor | undefined, x: Rows, y: Rows): void {
    if (this.#batch === 1 && !bias) {
      this.linear(a, w, x, y);
      return;
    }
    const product = this.linear(a, w, this.vector(bias));
    const words = [this.#batch * y.width, 1, 0, y.address, x.address, product.address, 1, 1];
    this.#context.command("add", words, { reads: [x.range, product.range], writes: [y.range] });
  }
}

/** Columns `start` to `start + width` of rows. */
function columns(rows: Rows, start: number, width: number): Rows {
  // written out: spreading would cost more than all the rest, and this runs for every layer of every token
  return { address: rows.address + start * FLOAT_BYTES, width, rowStride: rows.rowStride, range: rows.range };
}

const mambaBlockStep: WasmKernel = (context, { inputs, outputs, axes, params }) => {
  const given = inputs as Record<string, Tensor>;
  const { batch, dInner, dState, dtRank } = axes as Record<"batch" | "dInner" | "dState" | "dtRank", number>;
  const encoder = new BlockEncoder(context, batch);
  const x = encoder.tensor(given["x"]!);
  const normed = encoder.norm(x, params["epsilon"] as number, given["normWeight"]);
  const projected = encoder.linear(normed, given["inProj"]!, encoder.vector(given["inProjBias"]));
  const u = encoder.scratch(dInner);
  encodeConvStep(context, {
    batch,
    channels: dInner,
    window: axes["window"]!,
    x: columns(projected, 0, dInner),
    y: u,
    weight: given["convWeight"]!,
    bias: given["convBias"],
    state: given["conv"]!,
    activated: true,
  });
  const selection = encoder.linear(u, given["xProj"]!);
  const epsilon = params["mixerNormEpsilon"] as number;
  const part = (start: number, width: number): Rows => {
    const rows = columns(selection, start, width);
    return epsilon > 0 ? encoder.norm(rows, epsilon) : rows;
  };
  const delta = encoder.linear(part(0, dtRank), given["dtProj"]!);
  const gated = encoder.scratch(dInner);
  encodeStateStep(context, {
    batch,
    channels: dInner,
    states: dState,
    groups: 1,
    deltaSoftplus: true,
    h: given["ssm"]!,
    A: given["A"]!,
    D: given["D"],
    deltaBias: given["dtBias"],
    y: gated,
    u,
    delta,
    z: columns(projected, dInner, dInner),
    B: part(dtRank, dState),
    C: part(dtRank + dState, dState),
  });
  encoder.linearWithResidual(gated, given["outProj"]!, given["outProjBias"], x, encoder.tensor(outputs["y"]!));
};

/** Wasm kernels of this folder: the whole block as one run of commands. */
export const mambaBlockStepWasm = { mambaBlockStep } as const satisfies Record<string, WasmKernel>;
