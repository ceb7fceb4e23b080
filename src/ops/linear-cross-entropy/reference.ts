import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import { counts, logitGradient } from "../cross-entropy/reference.ts";
import { activationsFor } from "../linear/reference.ts";
import { addProduct, matrix } from "../matmul/reference.ts";

/** Logits of some consecutive tokens and rows: [tokens rows] from (firstToken, firstRow). */
interface Block {
  readonly logits: Float64Array;
  readonly firstToken: number;
  readonly tokens: number;
  readonly firstRow: number;
  readonly rows: number;
}

/** Calls `f` with every block of logits: all rows of the first tokens, then of the next. */
function forEachBlock(
  { input, weight: weightOf, dtype, axes, params }: ReferenceContext,
  f: (block: Block) => void,
): void {
  const tokens = axes["tokens"]!;
  const inner = axes["dModel"]!;
  const vocabSize = params["vocabSize"] as number;
  const tokenChunk = params["tokenChunk"] as number;
  const rowChunk = params["rowChunk"] as number;
  const [x, weight] = [activationsFor(dtype("weight"), input("x")), weightOf("weight")];
  for (let firstToken = 0; firstToken < tokens; firstToken += tokenChunk) {
    for (let firstRow = 0; firstRow < vocabSize; firstRow += rowChunk) {
      const size = {
        rows: Math.min(tokenChunk, tokens - firstToken),
        columns: Math.min(rowChunk, vocabSize - firstRow),
      };
      const logits = new Float64Array(size.rows * size.columns);
      const left = matrix(x, firstToken * inner, inner);
      const right = matrix(weight, firstRow * inner, inner, true);
      addProduct(logits, 0, { ...size, inner }, left, right);
      f({ logits, firstToken, tokens: size.rows, firstRow, rows: size.columns });
    }
  }
}

/** Which tokens count; throws at the first target that is neither a class nor ignored. */
function countedTokens(op: string, { input, params }: ReferenceContext): boolean[] {
  const vocabSize = params["vocabSize"] as number;
  const ignoreIndex = params["ignoreIndex"] as number;
  return Array.from(input("targets"), (target, t) => counts(op, target, t, vocabSize, ignoreIndex));
}

const linearCrossEntropy: ReferenceKernel = (context) => {
  const { input, output, axes } = context;
  const counted = countedTokens("linearCrossEntropy", context);
  const targets = input("targets");
  const largest = new Float64Array(axes["tokens"]!).fill(Number.NEGATIVE_INFINITY);
  const sums = new Float64Array(axes["tokens"]!);
  const atTarget = new Float64Array(axes["tokens"]!);
  forEachBlock(context, ({ logits, firstToken, tokens, firstRow, rows }) => {
    for (let i = 0; i < tokens; i++) {
      const t = firstToken + i;
      const line = logits.subarray(i * rows, (i + 1) * rows);
      const top = line.reduce((a, b) => Math.max(a, b), largest[t]!);
      // the sum so far, under its new maximum
      sums[t] = line.reduce((sum, logit) => sum + Math.exp(logit - top), sums[t]! * Math.exp(largest[t]! - top));
      largest[t] = top;
      const column = targets[t]! - firstRow;
      if (column >= 0 && column < rows) atTarget[t] = line[column]!;
    }
  });
  const [losses, valid, logSumExp] = [output("losses"), output("valid"), output("logSumExp")];
  counted.forEach((counts, t) => {
    if (!counts) return;
    logSumExp[t] = largest[t]! + Math.log(sums[t]!);
    losses[t] = largest[t]! + Math.log(sums[t]!) - atTarget[t]!;
    valid[t] = 1;
  });
};

const linearCrossEntropyBackward: ReferenceKernel = (context) => {
  const { input, weight: weightOf, output, axes, wants } = context;
  const inner = axes["dModel"]!;
  const counted = countedTokens("linearCrossEntropyBackward", context);
  const gradient = logitGradient(context);
  const [x, weight, targets, logSumExp] = [input("x"), weightOf("weight"), input("targets"), input("logSumExp")];
  forEachBlock(context, ({ logits, firstToken, tokens, firstRow, rows }) => {
    const dlogits = logits.map((logit, at) => {
      const t = firstToken + Math.floor(at / rows);
      if (!counted[t]) return 0;
      return gradient(t, Math.exp(logit - logSumExp[t]!), targets[t] === firstRow + (at % rows));
    });
    const size = { rows: tokens, inner: rows, columns: inner };
    const [atToken, atRow] = [firstToken * inner, firstRow * inner];
    if (wants("dx")) {
      addProduct(output("dx"), atToken, size, matrix(dlogits, 0, rows), matrix(weight, atRow, inner));
    }
    if (wants("dweight")) {
      const turned = { ...size, rows, inner: tokens };
      addProduct(output("dweight"), atRow, turned, matrix(dlogits, 0, rows, true), matrix(x, atToken, inner));
    }
  });
};

/** Reference kernels of this folder. */
export const linearCrossEntropyReference = {
  linearCrossEntropy,
  linearCrossEntropyBackward,
} as const satisfies Record<string, ReferenceKernel>;
