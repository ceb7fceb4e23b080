import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { binaryTable, type UnaryName, unaryTable } from "../elementwise/table.ts";

/** How calls are cut whose tensors are larger than a binding may be. */
export interface Cut {
  /**
   * Axes of the signature, `...` among them: a part of the outputs along one of them is what the kernel makes of that part of the
   * inputs. Outputs that lack the axis are sums over it.
   */
  readonly along: readonly string[];
  /** The kernel writes outputs whose rows lie apart; others must stay dense. */
  readonly writesRows?: boolean;
  /** Inputs have the shape of output `y`, or are broadcast to it. */
  readonly broadcasts?: boolean;
  /** Arguments that the kernel takes in parts itself. */
  readonly own?: readonly string[];
  /** Names of the axes of each argument, where the signature leaves them open (`[*]`); `...0` is the first leading one. */
  readonly axesOf?: (call: KernelCall) => Record<string, readonly string[]>;
}

const byRows: Cut = { along: ["..."] };

function all(names: readonly string[], cut: Cut): Record<string, Cut> {
  return Object.fromEntries(names.map((name) => [name, cut]));
}

/** Leading axes by number, then those of the matrices. */
function productAxes({ inputs, outputs, params }: KernelCall): Record<string, readonly string[]> {
  const most = outputs["y"]!.shape.length - 2;
  const axes = ({ shape }: Tensor, last: readonly string[]): string[] => {
    const leading = shape.slice(0, -2);
    return [...leading.map((size, i) => (size === 1 ? "" : `...${most - leading.length + i}`)), ...last];
  };
  return {
    a: axes(inputs["a"]!, params["transposeA"] ? ["inner", "rows"] : ["rows", "inner"]),
    b: axes(inputs["b"]!, params["transposeB"] ? ["columns", "inner"] : ["inner", "columns"]),
    y: axes(outputs["y"]!, ["rows", "columns"]),
  };
}

/** All axes but the one that an op moves along. */
function otherAxes({ inputs, outputs, params }: KernelCall): Record<string, readonly string[]> {
  const given = Object.entries({ ...inputs, ...outputs }).filter((entry): entry is [string, Tensor] => !!entry[1]);
  return Object.fromEntries(
    given.map(([name, { shape }]) => [name, shape.map((_, axis) => (axis === params["axis"] ? "" : `...${axis}`))]),
  );
}

const unaryNames = Object.keys(unaryTable) as UnaryName[];

/** Ops whose calls can be cut, by name. Others are refused where a tensor of theirs is too large for a binding. */
export const cuts: Readonly<Record<string, Cut>> = {
  ...all([...unaryNames, ...unaryNames.map((name) => `${name}Backward`)], byRows),
  ...all(Object.keys(binaryTable), { ...byRows, broadcasts: true }),
  ...all(["cast", "markNonFinite", "sgdUpdate", "averageUpdate"], byRows),
  copy: { ...byRows, writesRows: true },
  ...all(["softmax", "softmaxBackward", "logSoftmax", "logSoftmaxBackward"], byRows),
  ...all(["rmsNorm", "rmsNormBackward", "layerNorm", "layerNormBackward"], byRows),
  ...all(["crossEntropy", "crossEntropyBackward"], { along: ["tokens"] }),
  ...all(["concat", "placeSlice"], { ...byRows, axesOf: otherAxes }),
  reduceSum: { along: ["outer", "middle", "inner"] },
  reduceMax: { along: ["outer", "inner"] },
  reduceMaxBackward: { along: ["outer"] },
  embedding: { ...byRows, own: ["table"] },
  embeddingBackward: { ...byRows, own: ["dtable"] },
  linear: { along: ["...", "outFeatures"], writesRows: true },
  linearInputGradient: { along: ["...", "outFeatures"] },
  linearWeightGradient: { along: ["...", "outFeatures"] },
  matmul: { along: ["...", "rows", "columns", "inner"], writesRows: true, axesOf: productAxes },
};
