import { ConfigError } from "../tensor/errors.ts";

/** Options of {@link LossScaler}. */
export interface LossScalerOptions {
  /** First scale; default 65,536. */
  readonly initial?: number;
  /** Steps without overflow after which the scale doubles; default 2,000. */
  readonly growthInterval?: number;
}

/** What a {@link LossScaler} knows, for a checkpoint. */
export interface LossScalerState {
  readonly scale: number;
  /** Steps without overflow since the scale last changed. */
  readonly good: number;
}

/** Beyond these a power of two is no help. */
const [SMALLEST, LARGEST] = [2 ** -24, 2 ** 24];

/**
 * Dynamic loss scaling for gradients in float16: the loss is multiplied by a power of two, so that small gradients do not
 * vanish, and gradients are divided by it before the update. A step whose gradients overflow is skipped and halves the
 * scale; a number of good steps doubles it.
 *
 * @see Micikevicius et al. 2018, "Mixed precision training", section 3.2
 */
export class LossScaler {
  readonly #growthInterval: number;
  #state: LossScalerState;

  /** @throws ConfigError if `initial` is not a power of two, or `growthInterval` no whole number from 1 */
  constructor({ initial = 65536, growthInterval = 2000 }: LossScalerOptions = {}) {
    if (!(initial >= SMALLEST && initial <= LARGEST && Number.isInteger(Math.log2(initial)))) {
      throw new ConfigError(
        `LossScaler: initial must be a power of two from 2^-24 to 2^24; got ${initial}; round it to one`,
        { initial },
      );
    }
    if (!(Number.isSafeInteger(growthInterval) && growthInterval >= 1)) {
      throw new ConfigError(
        `LossScaler: growthInterval must be a whole number from 1; got ${growthInterval}; change it`,
        { growthInterval },
      );
    }
    this.#growthInterval = growthInterval;
    this.#state = { scale: initial, good: 0 };
  }

  /** What the next step's loss is multiplied by. */
  get scale(): number {
    return this.#state.scale;
  }

  /** Whether a smaller scale is left to try. */
  get exhausted(): boolean {
    return this.#state.scale <= SMALLEST;
  }

  /** Takes note of a step. */
  update(overflowed: boolean): void {
    const { scale, good } = this.#state;
    if (overflowed) this.#state = { scale: Math.max(SMALLEST, scale / 2), good: 0 };
    else if (good + 1 < this.#growthInterval) this.#state = { scale, good: good + 1 };
    else this.#state = { scale: Math.min(LARGEST, scale * 2), good: 0 };
  }

  /** For a checkpoint. */
  get state(): LossScalerState {
    return this.#state;
  }

  /** Goes on from a checkpoint. */
  restore(state: LossScalerState): void {
    this.#state = { ...state };
  }
}
