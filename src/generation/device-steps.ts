import type { LanguageModel, RecurrentState } from "../models/index.ts";
import { likeliestToken } from "../ops/likeliest-token/index.ts";
import { reshape } from "../ops/movement/index.ts";
import { type SampleTokenOptions, sampleToken } from "../ops/sample-token/index.ts";
import type { Device, Recorded } from "../tensor/device.ts";
import { scope } from "../tensor/scope.ts";
import { backendOf, type Tensor, tensor, zeros } from "../tensor/tensor.ts";

/** Steps whose ids the device keeps; a chunk of steps has at most this many. */
export const MOST_STEPS = 64;

/** How {@link DeviceSteps} draw tokens. */
export interface DeviceDraws {
  readonly options: SampleTokenOptions;
  /** The random stream of each row, and the words of it that were used before. */
  readonly places: readonly { readonly stream: number; readonly counter: number }[];
}

/** Whether {@link DeviceSteps} can be had: the device replays commands, and a step of the model changes its state in place. */
export function canStepOnDevice(model: LanguageModel, device: Device): boolean {
  return backendOf(device).record !== undefined && model.stepsInPlace === true;
}

/**
 * Steps of a model whose tokens are chosen on the device, the likeliest or by their probabilities: ids go from one step to the next on the device, and the commands of a step are
 * recorded once and replayed. The host enqueues many steps before it waits for the ids of the first.
 */
export class DeviceSteps implements Disposable {
  readonly #model: LanguageModel;
  readonly #ids: Tensor;
  readonly #history: Tensor;
  readonly #count: Tensor;
  readonly #sampling: SampleTokenOptions | undefined;
  readonly #draws: Tensor | undefined;
  #state: RecurrentState;
  #steps = 0;
  #firstPosition: number;
  #recorded: Recorded<RecurrentState> | undefined;

  /**
   * @param state - what the model has seen; taken over, whatever happens
   * @param ids - to be fed first, one a row
   * @param draws - how tokens are drawn; left out, the likeliest is taken
   */
  constructor(
    model: LanguageModel,
    device: Device,
    state: RecurrentState,
    ids: ArrayLike<number>,
    draws?: DeviceDraws,
  ) {
    this.#model = model;
    this.#state = state;
    this.#firstPosition = state.position;
    this.#ids = tensor(Int32Array.from(ids), [ids.length], { device });
    this.#history = zeros([MOST_STEPS, ids.length], { device, dtype: "int32" });
    this.#count = zeros([1], { device, dtype: "int32" });
    this.#sampling = draws?.options;
    const places = draws?.places.flatMap(({ stream, counter }) => [stream, counter]);
    this.#draws = places && tensor(Int32Array.from(places), [ids.length, 2], { device });
  }

  /** Tokens that the model has seen when all steps are done that were enqueued. */
  get position(): number {
    return this.#firstPosition + this.#steps;
  }

  /** A copy of the state after the steps that were enqueued so far. */
  snapshot(): RecurrentState {
    const tensors = this.#state.clone().tensors();
    return this.#model.stateFrom(tensors, this.position);
  }

  /**
   * Enqueues steps.
   *
   * @param count - at most {@link MOST_STEPS}
   * @returns their ids [count batch], -1 where a row had logits that nothing can be chosen from
   */
  async run(count: number): Promise<Int32Array> {
    const first = this.#steps;
    for (let i = 0; i < count; i++) this.#step();
    const history = (await this.#history.read()) as Int32Array;
    const batch = this.#ids.size;
    const ids = new Int32Array(count * batch);
    for (let i = 0; i < count; i++) {
      const slot = ((first + i) % MOST_STEPS) * batch;
      ids.set(history.subarray(slot, slot + batch), i * batch);
    }
    return ids;
  }

  #step(): void {
    // the first step compiles programs and makes what the model keeps between steps; only then is there something to record
    if (this.#steps === 0) this.#state = this.#enqueue();
    else {
      if (!this.#recorded) {
        this.#recorded = backendOf(this.#ids.device).record!(() => this.#enqueue());
        this.#state = this.#recorded.result;
      }
      this.#recorded.replay();
    }
    this.#steps++;
  }

  #enqueue(): RecurrentState {
    return scope(() => {
      const [batch] = this.#ids.shape as [number];
      const input = reshape(this.#ids, [batch, 1]);
      const { logits, state } = this.#model.forward(input, { state: this.#state, consume: true });
      const rows = reshape(logits!, [batch, this.#model.vocabSize]);
      const into = { ids: this.#ids, history: this.#history, count: this.#count };
      if (this.#draws) sampleToken(rows, { ...into, draws: this.#draws }, this.#sampling!);
      else likeliestToken(rows, into);
      return state;
    });
  }

  /** Frees the state and everything else. Idempotent. */
  dispose(): void {
    this.#recorded?.dispose();
    for (const one of [this.#state, this.#ids, this.#history, this.#count, this.#draws]) one?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
