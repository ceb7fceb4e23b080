import { type ForwardOptions, type LanguageModel, MambaLM, type MambaState } from "../models/index.ts";
import type { MambaLMParameters } from "../models/mamba-parameters.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Lora } from "./lora.ts";

/**
 * A model with low-rank updates, for training: its parameters are A and B alone, so that gradients, optimizer and
 * checkpoints have their size.
 */
export class LoraLM implements LanguageModel<MambaState> {
  readonly base: MambaLM;
  readonly lora: Lora;

  /** @param base - must outlive this; is not changed */
  constructor(base: MambaLM, lora: Lora) {
    this.base = base;
    this.lora = lora;
  }

  get parameters(): Lora["parameters"] {
    return this.lora.parameters;
  }

  get config(): MambaLM["config"] {
    return this.base.config;
  }

  get device(): MambaLM["device"] {
    return this.base.device;
  }

  get vocabSize(): number {
    return this.base.vocabSize;
  }

  forward(ids: Tensor, options?: ForwardOptions<MambaState>): { logits: Tensor | undefined; state: MambaState } {
    return scope(() => this.#effective().forward(ids, options));
  }

  losses(
    ids: Tensor,
    targets: Tensor,
    options?: ForwardOptions<MambaState>,
  ): { losses: Tensor; valid: Tensor; state: MambaState } {
    return scope(() => this.#effective().losses(ids, targets, options));
  }

  #effective(): MambaLM {
    return new MambaLM(this.config, this.lora.effective() as unknown as MambaLMParameters);
  }

  initialState(batch: number): MambaState {
    return this.base.initialState(batch);
  }

  stateShapes(): { name: string; shape: number[] }[] {
    return this.base.stateShapes();
  }

  stateFrom(tensors: readonly Tensor[], position: number): MambaState {
    return this.base.stateFrom(tensors, position);
  }

  /** Frees A and B; the base model stays. */
  dispose(): void {
    this.lora.dispose();
  }
}
