import { add } from "../../ops/elementwise/index.ts";
import { matmul } from "../../ops/matmul/index.ts";
import { concat, reshape, slice, transpose } from "../../ops/movement/index.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";

/** A^(2^k) of matrices [features state state], each worked out once. */
export class Powers {
  readonly #known: Tensor[];

  constructor(A: Tensor) {
    this.#known = [A];
  }

  /** A^(2^k) */
  at(k: number): Tensor {
    while (this.#known.length <= k) {
      const last = this.#known.at(-1)!;
      this.#known.push(matmul(last, last));
    }
    return this.#known[k]!;
  }

  /** A^exponent x, x [features state columns]. */
  applied(exponent: number, x: Tensor): Tensor {
    let result = x;
    for (let [k, rest] = [0, exponent]; rest > 0; k++, rest = Math.floor(rest / 2)) {
      if (rest % 2 === 1) result = matmul(this.at(k), result);
    }
    return result;
  }
}

/** (x, A x, A^2 x, ...) for 2^doublings powers, [features state 2^doublings columns]; powers before columns. */
function columnsOf(powers: Powers, x: Tensor, doublings: number): Tensor {
  let all = x;
  for (let k = 0; k < doublings; k++) all = concat([all, matmul(powers.at(k), all)], -1);
  return all;
}

/** (C, C A^w, C A^2w, ...) with w = 2^start, `count` powers, [features count channels, state]; powers before channels. */
function rowsOf(powers: Powers, C: Tensor, start: number, count: number): Tensor {
  const channels = C.shape[1]!;
  let all = C;
  for (let k = start; all.shape[1]! < count * channels; k++) {
    const missing = count * channels - all.shape[1]!;
    const own = missing < all.shape[1]! ? slice(all, { axis: 1, end: missing }) : all;
    all = concat([all, matmul(own, powers.at(k))], 1);
  }
  return all;
}

/** A length as blocks of 2^doublings steps: about as many as there are steps in one. */
function blocksOf(length: number): { doublings: number; width: number; count: number } {
  const doublings = Math.ceil(Math.log2(Math.max(1, length)) / 2);
  const width = 2 ** doublings;
  return { doublings, width, count: Math.max(1, Math.ceil(length / width)) };
}

/**
 * C A^t x for times t = 0 to length - 1. Times are blocks of w steps: rows C A^(w i) and columns A^j x are made by doubling, and their
 * products are all times t = w i + j. Memory is features x state x sqrt(length), where one Krylov matrix would have the length itself.
 *
 * @param C - [features channels state]
 * @param x - [features state columns]
 * @returns [length channels features columns]
 * @see Gu et al. 2021 (LSSL), appendix E.1
 */
export function krylov(powers: Powers, C: Tensor, x: Tensor, length: number): Tensor {
  const [features, channels] = C.shape as [number, number, number];
  const columns = x.shape[2]!;
  const { doublings, width, count } = blocksOf(length);
  const products = matmul(rowsOf(powers, C, doublings, count), columnsOf(powers, x, doublings));
  const byTime = transpose(reshape(products, [features, count, channels, width, columns]), [1, 3, 2, 0, 4]);
  const all = reshape(byTime, [count * width, channels, features, columns]);
  return count * width === length ? all : slice(all, { axis: 0, end: length });
}

/**
 * Sum over t of A^(length - 1 - t) B u[t]: the state that an input leaves. Blocks of steps by one product, then pairs of blocks by
 * doubling.
 *
 * @param B - [features state 1]
 * @param u - [batch length features]
 * @returns [features state batch]
 */
export function lastState(powers: Powers, B: Tensor, u: Tensor): Tensor {
  const { device, dtype } = u;
  const [batch, length, features] = u.shape as [number, number, number];
  const state = B.shape[1]!;
  const { doublings, width, count } = blocksOf(length);
  let blocks = 2 ** Math.ceil(Math.log2(count));
  const missing = blocks * width - length;
  // zeros before the input leave the state as it is
  const padded = missing === 0 ? u : concat([zeros([batch, missing, features], { device, dtype }), u], 1);
  const byFeature = transpose(reshape(padded, [batch, blocks, width, features]), [3, 2, 1, 0]);
  const backwards = matmul(columnsOf(powers, B, doublings), reversal(width, u));
  let states = matmul(backwards, reshape(byFeature, [features, width, blocks * batch]));
  for (let k = doublings; blocks > 1; k++) {
    blocks /= 2;
    const pairs = reshape(states, [features, state, blocks, 2, batch]);
    const half = (start: number): Tensor =>
      reshape(slice(pairs, { axis: 3, start, end: start + 1 }), [features, state, blocks * batch]);
    states = add(matmul(powers.at(k), half(0)), half(1));
  }
  return states;
}

/** The matrix that turns the order of columns round, [size size]. */
function reversal(size: number, { device, dtype }: Tensor): Tensor {
  const values = new Float64Array(size * size);
  for (let i = 0; i < size; i++) values[i * size + size - 1 - i] = 1;
  return tensor(values, [size, size], { device, dtype });
}
