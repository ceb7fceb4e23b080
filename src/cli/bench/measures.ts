import type { MambaLM, MambaState } from "../../models/index.ts";
import { tensor } from "../../tensor/tensor.ts";
import type { Measured } from "./statistics.ts";

/** Tokens of a prompt that are computed at a time where a state is to be prepared. */
const CHUNK = 512;

/**
 * Speed of a model in this process. Lines are
 *
 * - `prefill N [DEPTH]`: N tokens at once, up to the last one's logits,
 * - `decode N [DEPTH]`: N tokens one after the other, each one's logits read,
 * - `batch ROWS N`: N steps of ROWS sequences at once,
 *
 * after DEPTH tokens that are not measured, and whose state is kept for the next line of that depth.
 */
export class ModelMeasures implements Measured {
  readonly #model: MambaLM;
  readonly #depths = new Map<number, MambaState>();

  constructor(model: MambaLM) {
    this.#model = model;
  }

  async measure(line: string): Promise<number> {
    const [what, ...numbers] = line.split(" ");
    const [first = 0, second = 0] = numbers.map(Number);
    if (what === "prefill") return this.#prefill(first, second);
    return what === "batch" ? this.#decode(second, 0, first) : this.#decode(first, second, 1);
  }

  /** Frees the states of depths. */
  dispose(): void {
    for (const state of this.#depths.values()) state.dispose();
    this.#depths.clear();
  }

  #ids(count: number, seed = 0): Int32Array {
    return Int32Array.from({ length: count }, (_, i) => ((i + seed) * 7919 + 13) % this.#model.vocabSize);
  }

  async #run(ids: Int32Array, rows: number, state?: MambaState, consume = true): Promise<MambaState> {
    const input = tensor(ids, [rows, ids.length / rows], { device: this.#model.device });
    const result = this.#model.forward(input, state ? { state, consume } : {});
    input.dispose();
    await result.logits!.read();
    result.logits!.dispose();
    return result.state;
  }

  /** A state after so many tokens; a copy, that may be consumed. */
  async #at(depth: number): Promise<MambaState> {
    let state = this.#depths.get(depth);
    if (!state) {
      for (let done = 0; done < depth; done += CHUNK) {
        state = await this.#run(this.#ids(Math.min(CHUNK, depth - done), done), 1, state);
      }
      this.#depths.set(depth, state!);
    }
    return state!.clone();
  }

  async #prefill(count: number, depth: number): Promise<number> {
    const before = depth > 0 ? await this.#at(depth) : undefined;
    const ids = this.#ids(count, depth);
    const start = performance.now();
    const state = await this.#run(ids, 1, before);
    const seconds = (performance.now() - start) / 1000;
    state.dispose();
    return seconds;
  }

  async #decode(count: number, depth: number, rows: number): Promise<number> {
    let state = depth > 0 ? await this.#at(depth) : await this.#run(new Int32Array(rows).fill(1), rows);
    const ids = this.#ids(count * rows, depth);
    const start = performance.now();
    for (let i = 0; i < count; i++) state = await this.#run(ids.subarray(i * rows, (i + 1) * rows), rows, state);
    const seconds = (performance.now() - start) / 1000;
    state.dispose();
    return seconds;
  }
}
