import { recompute } from "../autograd/index.ts";
import { CausalAttention, type CausalAttentionParameters, type KeyValueCache } from "../layers/causal-attention.ts";
import { Embedding } from "../layers/embedding.ts";
import { GatedMlp, type GatedMlpParameters } from "../layers/gated-mlp.ts";
import type { InitialiseOptions } from "../layers/initialisers.ts";
import { Linear } from "../layers/linear.ts";
import { Norm, type NormParameters } from "../layers/norm.ts";
import { add } from "../ops/elementwise/index.ts";
import { embedding } from "../ops/embedding/index.ts";
import { linear } from "../ops/linear/index.ts";
import { linearCrossEntropy } from "../ops/linear-cross-entropy/index.ts";
import { reshape, slice } from "../ops/movement/index.ts";
import type { Device } from "../tensor/device.ts";
import type { DType } from "../tensor/dtype.ts";
import { ConfigError } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { Random } from "../tensor/random.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { KeyValueState } from "./key-value-state.ts";
import type { ForwardOptions, LanguageModel } from "./language-model.ts";
import { checkIdsAndState } from "./tensor-state.ts";
import type { TransformerConfig } from "./transformer-config.ts";

/** Parameters of one layer. */
export type TransformerBlockParameters = {
  readonly attentionNorm: NormParameters;
  readonly attention: CausalAttentionParameters;
  readonly mlpNorm: NormParameters;
  readonly mlp: GatedMlpParameters;
};

/** Parameters of a {@link TransformerLM}. */
export type TransformerLMParameters = {
  readonly embedding: { readonly weight: Tensor };
  readonly layers: { readonly [index: string]: TransformerBlockParameters };
  readonly normF: NormParameters;
  /** Absent where the head is the embedding. */
  readonly lmHead?: { readonly weight: Tensor };
};

interface Block {
  readonly attentionNorm: Norm;
  readonly attention: CausalAttention;
  readonly mlpNorm: Norm;
  readonly mlp: GatedMlp;
}

/** What a layer hands on. */
interface BlockResult {
  readonly stream: Tensor;
  readonly cache: KeyValueCache;
}

/**
 * The transformer that every claim about Mamba is held against: RMS norms before attention with rotary positions and before a
 * SwiGLU, no biases ("Transformer++" of the Mamba papers).
 *
 *     x = x + attention(norm x);  x = x + mlp(norm x);  logits = head(norm x)
 *
 * @see Touvron et al. 2023, "LLaMA", section 2.2; Gu & Dao 2023, section 4.2.1
 */
export class TransformerLM implements LanguageModel<KeyValueState> {
  readonly config: TransformerConfig;
  readonly parameters: TransformerLMParameters;
  readonly #blocks: readonly Block[];
  readonly #normF: Norm;

  constructor(config: TransformerConfig, parameters: TransformerLMParameters) {
    this.config = config;
    this.parameters = parameters;
    const norm = (own: NormParameters): Norm => new Norm("rms", config.normEpsilon, own);
    this.#blocks = Array.from({ length: config.nLayer }, (_, i) => {
      const { attentionNorm, attention, mlpNorm, mlp } = parameters.layers[i]!;
      return {
        attentionNorm: norm(attentionNorm),
        attention: new CausalAttention(config.heads, attention),
        mlpNorm: norm(mlpNorm),
        mlp: new GatedMlp(mlp),
      };
    });
    this.#normF = norm(parameters.normF);
  }

  /** A model with new parameters: normal, those that end in the residual stream smaller by sqrt(2 nLayer). */
  static create(
    config: TransformerConfig,
    { seed = 0, ...given }: { device: Device; dtype?: DType; seed?: number },
  ): TransformerLM {
    const options: InitialiseOptions = { ...given, random: new Random(seed) };
    const { vocabSize, dModel, nLayer, heads, hidden, std, normEpsilon } = config;
    const stds = { std, outStd: std / Math.sqrt(2 * nLayer) };
    const norm = (): NormParameters => Norm.create("rms", dModel, normEpsilon, options).parameters;
    const table = Embedding.create(vocabSize, dModel, std, options).parameters;
    const layers: Record<string, TransformerBlockParameters> = {};
    for (let i = 0; i < nLayer; i++) {
      layers[i] = {
        attentionNorm: norm(),
        attention: CausalAttention.create(dModel, heads, stds, options).parameters,
        mlpNorm: norm(),
        mlp: GatedMlp.create(dModel, hidden, stds, options).parameters,
      };
    }
    const shared = { embedding: table, layers, normF: norm() };
    if (config.tieEmbeddings) return new TransformerLM(config, shared);
    return new TransformerLM(config, {
      ...shared,
      lmHead: Linear.create(dModel, vocabSize, false, options).parameters,
    });
  }

  get vocabSize(): number {
    return this.config.vocabSize;
  }

  get device(): Device {
    return this.#table.device;
  }

  get #table(): Tensor {
    return this.parameters.embedding.weight;
  }

  get #head(): Tensor {
    return this.parameters.lmHead?.weight ?? this.#table;
  }

  initialState(batch: number): KeyValueState {
    const { nLayer, heads, dModel } = this.config;
    const options = { device: this.device, dtype: this.#table.dtype };
    const empty = (): Tensor => zeros([batch, 0, heads, dModel / heads], options);
    return new KeyValueState(
      Array.from({ length: nLayer }, () => ({ k: empty(), v: empty() })),
      0,
    );
  }

  /** Before any token; the second axis grows with the position. */
  stateShapes(): { name: string; shape: number[] }[] {
    const { nLayer, heads, dModel } = this.config;
    return Array.from({ length: nLayer }, (_, i) =>
      ["k", "v"].map((part) => ({ name: `layers.${i}.${part}`, shape: [1, 0, heads, dModel / heads] })),
    ).flat();
  }

  stateFrom(tensors: readonly Tensor[], position: number): KeyValueState {
    const layers = Array.from({ length: this.config.nLayer }, (_, i) => ({
      k: tensors[2 * i]!,
      v: tensors[2 * i + 1]!,
    }));
    return new KeyValueState(layers, position);
  }

  /**
   * @throws ShapeError if `ids` is not [batch length] with length at least 1, or the state has another batch
   * @throws ConfigError if both a state and segments are given
   */
  forward(
    ids: Tensor,
    options: ForwardOptions<KeyValueState> = {},
  ): { logits: Tensor | undefined; state: KeyValueState } {
    const { logits: wanted = "last", state, consume } = options;
    const result = scope(() => {
      const { hidden, state: after } = this.#hidden(ids, options);
      if (wanted === "none") return { logits: undefined, state: after };
      const rows = wanted === "last" ? slice(hidden, { axis: 1, start: -1 }) : hidden;
      return { logits: linear(this.#normF.forward(rows).y, this.#head), state: after };
    });
    if (consume) state?.dispose();
    return result;
  }

  losses(
    ids: Tensor,
    targets: Tensor,
    options: ForwardOptions<KeyValueState> = {},
  ): { losses: Tensor; valid: Tensor; state: KeyValueState } {
    const result = scope(() => {
      const { hidden, state } = this.#hidden(ids, options);
      const rows = reshape(this.#normF.forward(hidden).y, [ids.size, this.config.dModel]);
      const made = linearCrossEntropy(rows, this.#head, reshape(targets, [ids.size]), {
        vocabSize: this.vocabSize,
        reduction: "none",
      });
      return { losses: reshape(made.losses, ids.shape), valid: reshape(made.valid, ids.shape), state };
    });
    if (options.consume) options.state?.dispose();
    return result;
  }

  #hidden(ids: Tensor, options: ForwardOptions<KeyValueState>): { hidden: Tensor; state: KeyValueState } {
    this.#check(ids, options);
    const { state, segmentIds } = options;
    let stream = embedding(this.#table, ids);
    const layers = this.#blocks.map((block, i) => {
      const cache = state?.layers[i];
      const result =
        options.recompute === true || options.recompute === "layer"
          ? recomputed(block, stream, cache, segmentIds)
          : runBlock(block, stream, cache, segmentIds);
      stream = result.stream;
      return result.cache;
    });
    return { hidden: stream, state: new KeyValueState(layers, (state?.position ?? 0) + ids.shape[1]!) };
  }

  #check(ids: Tensor, { state, segmentIds }: ForwardOptions<KeyValueState>): void {
    checkIdsAndState("TransformerLM.forward", ids, state);
    if (!state || !segmentIds) return;
    throw new ConfigError(
      "TransformerLM.forward: segmentIds must come without a state, which does not know the segments of its tokens; got both; leave one out",
      {},
    );
  }

  /** Frees the parameters. Idempotent. */
  dispose(): void {
    for (const tensor of flattenParameters(this.parameters).values()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function runBlock(
  { attentionNorm, attention, mlpNorm, mlp }: Block,
  stream: Tensor,
  cache: KeyValueCache | undefined,
  segmentIds: Tensor | undefined,
): BlockResult {
  return scope(() => {
    const attended = attention.forward(attentionNorm.forward(stream).y, { cache, segmentIds });
    const { y, sum } = mlpNorm.forward(attended.y, stream);
    return { stream: add(sum, mlp.forward(y)), cache: attended.cache };
  });
}

function recomputed(
  block: Block,
  stream: Tensor,
  cache: KeyValueCache | undefined,
  segmentIds: Tensor | undefined,
): BlockResult {
  const outputs = recompute(
    (own, k, v) => {
      const result = runBlock(block, own!, k && v && { k, v }, segmentIds);
      return [result.stream, result.cache.k, result.cache.v];
    },
    [stream, ...(cache ? [cache.k, cache.v] : [])],
  ) as [Tensor, Tensor, Tensor];
  return { stream: outputs[0], cache: { k: outputs[1], v: outputs[2] } };
}
