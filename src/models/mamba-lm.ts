import { makeAgain, recompute } from "../autograd/index.ts";
import { MambaMixer, type MambaMixerState } from "../layers/mamba-mixer.ts";
import { Norm } from "../layers/norm.ts";
import { embedding } from "../ops/embedding/index.ts";
import { linear } from "../ops/linear/index.ts";
import { linearCrossEntropy } from "../ops/linear-cross-entropy/index.ts";
import { mambaBlockStep } from "../ops/mamba-block-step/index.ts";
import { reshape, slice } from "../ops/movement/index.ts";
import type { Device } from "../tensor/device.ts";
import type { DType } from "../tensor/dtype.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { Random } from "../tensor/random.ts";
import { scope } from "../tensor/scope.ts";
import { backendOf, type Tensor, zeros } from "../tensor/tensor.ts";
import type { MambaConfig } from "./config.ts";
import type { ForwardOptions, LanguageModel, Recompute } from "./language-model.ts";
import {
  initialiseMambaLM,
  type MambaBlockParameters,
  type MambaLMParameters,
  mixerConfig,
} from "./mamba-parameters.ts";
import { MambaState } from "./state.ts";
import { checkIdsAndState } from "./tensor-state.ts";

/** What a layer hands on. */
interface BlockResult {
  readonly stream: Tensor;
  readonly pending: Tensor;
  readonly state: MambaMixerState;
}

interface BlockOptions {
  readonly state?: MambaMixerState;
  readonly segmentIds?: Tensor;
  readonly recompute?: Recompute;
}

interface Block {
  readonly norm: Norm;
  readonly mixer: MambaMixer;
  readonly parameters: MambaBlockParameters;
}

/**
 * A Mamba-1 language model: embedding, residual stack of norm and mixer, norm, head.
 *
 *     r[0] = embedding(ids);  r[i+1] = r[i] + mixer_i(norm_i(r[i]));  logits = head(norm_f(r[n]))
 *
 * @see Gu & Dao 2023, section 3.4; state-spaces/mamba, `mixer_seq_simple.py`
 */
export class MambaLM implements LanguageModel<MambaState> {
  readonly config: MambaConfig;
  readonly parameters: MambaLMParameters;
  readonly #blocks: readonly Block[];
  readonly #normF: Norm;

  constructor(config: MambaConfig, parameters: MambaLMParameters) {
    this.config = config;
    this.parameters = parameters;
    const { backbone } = parameters;
    this.#blocks = Array.from({ length: config.nLayer }, (_, i) => {
      const block = backbone.layers[i]!;
      return {
        norm: new Norm(config.norm, config.normEpsilon, block.norm),
        mixer: new MambaMixer(mixerConfig(config), block.mixer),
        parameters: block,
      };
    });
    this.#normF = new Norm(config.norm, config.normEpsilon, backbone.normF);
  }

  /** A model with new parameters, drawn as the official code draws them. */
  static create(config: MambaConfig, options: { device: Device; dtype?: DType; seed?: number }): MambaLM {
    const random = new Random(options.seed ?? 0);
    return new MambaLM(config, initialiseMambaLM(config, { ...options, random }));
  }

  get vocabSize(): number {
    return this.config.vocabSize;
  }

  get device(): Device {
    return this.#table.device;
  }

  get #table(): Tensor {
    return this.parameters.backbone.embedding.weight;
  }

  get #head(): Tensor {
    return this.parameters.lmHead?.weight ?? this.#table;
  }

  initialState(batch: number): MambaState {
    const { nLayer, dInner, dState, dConv } = this.config;
    const dtype = this.parameters.backbone.normF.weight.dtype;
    const options = { device: this.device, dtype };
    const layers = Array.from({ length: nLayer }, () => ({
      conv: zeros([batch, dConv - 1, dInner], options),
      ssm: zeros([batch, dInner, dState], options),
    }));
    return new MambaState(layers, 0);
  }

  stateShapes(): { name: string; shape: number[] }[] {
    const { nLayer, dInner, dState, dConv } = this.config;
    return Array.from({ length: nLayer }, (_, i) => [
      { name: `layers.${i}.conv`, shape: [1, dConv - 1, dInner] },
      { name: `layers.${i}.ssm`, shape: [1, dInner, dState] },
    ]).flat();
  }

  stateFrom(tensors: readonly Tensor[], position: number): MambaState {
    const layers = Array.from({ length: this.config.nLayer }, (_, i) => ({
      conv: tensors[2 * i]!,
      ssm: tensors[2 * i + 1]!,
    }));
    return new MambaState(layers, position);
  }

  /**
   * @throws ShapeError if `ids` is not [batch length] with length at least 1, or the state has another batch
   */
  forward(ids: Tensor, options: ForwardOptions<MambaState> = {}): { logits: Tensor | undefined; state: MambaState } {
    const { logits: wanted = "last" } = options;
    return this.#consuming(options, () =>
      scope(() => {
        const { hidden, state } = this.#hidden(ids, options, wanted !== "all");
        if (wanted === "none") return { logits: undefined, state };
        const all = linear(hidden, this.#head);
        return { logits: slice(all, { axis: -1, end: this.vocabSize }), state };
      }),
    );
  }

  losses(
    ids: Tensor,
    targets: Tensor,
    options: ForwardOptions<MambaState> = {},
  ): { losses: Tensor; valid: Tensor; state: MambaState } {
    return this.#consuming(options, () =>
      scope(() => {
        const { hidden, state } = this.#hidden(ids, options, false);
        const rows = reshape(hidden, [ids.size, this.config.dModel]);
        const { losses, valid } = linearCrossEntropy(rows, this.#head, reshape(targets, [ids.size]), {
          vocabSize: this.vocabSize,
          reduction: "none",
        });
        return { losses: reshape(losses, ids.shape), valid: reshape(valid, ids.shape), state };
      }),
    );
  }

  #consuming<Result>({ state, consume }: ForwardOptions<MambaState>, run: () => Result): Result {
    const result = run();
    if (consume) state?.dispose();
    return result;
  }

  #hidden(ids: Tensor, options: ForwardOptions<MambaState>, lastOnly: boolean): { hidden: Tensor; state: MambaState } {
    checkIdsAndState("MambaLM.forward", ids, options.state);
    const position = (options.state?.position ?? 0) + ids.shape[1]!;
    const stepping = ids.shape[1] === 1 && options.state && !options.segmentIds && this.#canStep();
    const { stream, pending, layers } = stepping
      ? this.#step(ids, options.state!, options.consume === true)
      : this.#run(ids, options);
    const last = (x: Tensor): Tensor => (lastOnly ? slice(x, { axis: 1, start: -1 }) : x);
    const { y } = this.#normF.forward(last(pending ?? stream), pending && last(stream));
    return { hidden: y, state: new MambaState(layers, position) };
  }

  #run(
    ids: Tensor,
    options: ForwardOptions<MambaState>,
  ): { stream: Tensor; pending: Tensor | undefined; layers: MambaMixerState[] } {
    const byLayer = options.recompute === true || options.recompute === "layer";
    let stream = embedding(this.#table, ids);
    let pending: Tensor | undefined;
    const layers: MambaMixerState[] = [];
    this.#blocks.forEach((_, i) => {
      const before = [stream, pending];
      const result = byLayer
        ? this.#recomputedBlock(i, stream, pending, options)
        : this.#block(i, stream, pending, { ...options, state: options.state?.layers[i] });
      layers.push(result.state);
      stream = result.stream;
      pending = result.pending;
      for (const tensor of before) if (tensor !== stream) tensor?.dispose();
    });
    return { stream, pending, layers };
  }

  /** One layer: the residual stream without the mixer's output, that output, and the mixer's state. */
  #block(
    i: number,
    stream: Tensor,
    pending: Tensor | undefined,
    { state, segmentIds, recompute: again }: BlockOptions,
  ): BlockResult {
    const { norm, mixer } = this.#blocks[i]!;
    return scope(() => {
      const { y, sum } = norm.forward(pending ?? stream, pending && stream);
      if (again === "cheap") makeAgain(y, (whole) => norm.forward(whole).y, [sum]);
      const mixed = mixer.forward(y, { state, segmentIds, makeAgain: again === "cheap" ? makeAgain : undefined });
      return { stream: sum, pending: mixed.y, state: mixed.state };
    });
  }

  #recomputedBlock(
    i: number,
    stream: Tensor,
    pending: Tensor | undefined,
    { state, segmentIds }: ForwardOptions<MambaState>,
  ): BlockResult {
    const layer = state?.layers[i];
    const inputs = [stream, ...(pending ? [pending] : []), ...(layer ? [layer.conv, layer.ssm] : [])];
    const outputs = recompute((...given) => {
      const [conv, ssm] = layer ? given.slice(-2) : [];
      const own = { state: conv && ssm && { conv, ssm }, segmentIds };
      const result = this.#block(i, given[0]!, pending && given[1], own);
      const made = [result.pending, result.state.conv, result.state.ssm];
      // the first layer's stream passes by unchanged: it is an input and no output
      return pending ? [...made, result.stream] : made;
    }, inputs) as [Tensor, Tensor, Tensor, Tensor?];
    const [y, conv, ssm, sum] = outputs;
    return { stream: sum ?? stream, pending: y, state: { conv, ssm } };
  }

  get stepsInPlace(): boolean {
    return this.config.norm === "rms" && this.config.selective;
  }

  #canStep(): boolean {
    return this.stepsInPlace && backendOf(this.device).recorder === undefined;
  }

  #step(
    ids: Tensor,
    state: MambaState,
    consume: boolean,
  ): { stream: Tensor; pending: undefined; layers: MambaMixerState[] } {
    const { normEpsilon } = this.config;
    const rows = scope(() => reshape(embedding(this.#table, ids), [ids.shape[0]!, this.config.dModel]));
    let stream = rows;
    const layers: MambaMixerState[] = [];
    this.#blocks.forEach(({ mixer, parameters }, i) => {
      const step = mambaBlockStep(stream, state.layers[i]!, parameters.norm.weight, mixer.parameters, {
        A: mixer.decay(),
        epsilon: normEpsilon,
        mixerNormEpsilon: mixer.config.mixerNormEpsilon,
        inPlace: consume,
      });
      stream.dispose();
      stream = step.y;
      layers.push(step.state);
    });
    return { stream: reshape(stream, [ids.shape[0]!, 1, this.config.dModel]), pending: undefined, layers };
  }

  /** Frees the parameters. Idempotent. */
  dispose(): void {
    for (const { mixer } of this.#blocks) mixer.dispose();
    for (const tensor of flattenParameters(this.parameters).values()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
