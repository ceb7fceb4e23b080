import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { sigmoid } from "../elementwise/functions.ts";

/** Runs through a channel of a sequence in the direction of time, skipping padding. */
interface Walk {
  readonly length: number;
  readonly channels: number;
  readonly window: number;
  readonly batch: number;
  /** Index into [batch length channels] of the i-th step. */
  at(batch: number, i: number, channel: number): number;
  /** Segment of the i-th step, -1 for padding. */
  segment(batch: number, i: number): number;
}

function walkOf({ axes, params, has, input }: ReferenceContext): Walk {
  const [batch, length, channels, window] = ["batch", "length", "channels", "window"].map((name) => axes[name]!) as [
    number,
    number,
    number,
    number,
  ];
  const ids = has("segmentIds") ? input("segmentIds") : undefined;
  const time = (i: number): number => (params["reverse"] ? length - 1 - i : i);
  return {
    ...{ batch, length, channels, window },
    at: (b, i, c) => (b * length + time(i)) * channels + c,
    segment: (b, i) => (ids ? ids[b * length + time(i)]! : 0),
  };
}

/** Value before the activation: bias + sum of weight[k] history[k]. */
function weighted(history: readonly number[], weight: TypedArray, c: number, bias: number): number {
  return history.reduce((sum, x, k) => sum + weight[c * history.length + k]! * x, bias);
}

/** A row [before channels] of a state as numbers, oldest first. */
function stateRow(state: TypedArray | undefined, walk: Walk, b: number, c: number): number[] {
  const before = walk.window - 1;
  return Array.from({ length: before }, (_, k) => state?.[(b * before + k) * walk.channels + c] ?? 0);
}

/** Calls `step` with the index, the window of samples ending there, and whether a new segment starts there. */
function walkChannel(
  walk: Walk,
  x: TypedArray,
  initial: number[],
  b: number,
  c: number,
  step: (at: number, history: number[], starts: boolean) => void,
): number[] {
  let history = initial;
  let current = -1;
  for (let i = 0; i < walk.length; i++) {
    const segment = walk.segment(b, i);
    if (segment < 0) continue;
    const starts = current >= 0 && segment !== current;
    if (starts) history = history.map(() => 0);
    current = segment;
    const full = [...history, x[walk.at(b, i, c)]!];
    step(walk.at(b, i, c), full, starts);
    history = full.slice(1);
  }
  return history;
}

const causalConv: ReferenceKernel = (context) => {
  const { input, output, has, params } = context;
  const walk = walkOf(context);
  const [x, weight, y, finalState] = [input("x"), input("weight"), output("y"), output("finalState")];
  const initial = has("initialState") ? input("initialState") : undefined;
  const bias = has("bias") ? input("bias") : undefined;
  for (let b = 0; b < walk.batch; b++) {
    for (let c = 0; c < walk.channels; c++) {
      const last = walkChannel(walk, x, stateRow(initial, walk, b, c), b, c, (at, history) => {
        const s = weighted(history, weight, c, bias?.[c] ?? 0);
        y[at] = params["activation"] === "silu" ? s * sigmoid(s) : s;
      });
      last.forEach((value, k) => {
        finalState[(b * last.length + k) * walk.channels + c] = value;
      });
    }
  }
};

const causalConvBackward: ReferenceKernel = (context) => {
  const { input, output, has, wants, params } = context;
  const walk = walkOf(context);
  const { window, channels } = walk;
  const [x, weight, dx, dWeight] = [input("x"), input("weight"), output("dx"), output("dWeight")];
  const initial = has("initialState") ? input("initialState") : undefined;
  const dFinal = has("dFinalState") ? input("dFinalState") : undefined;
  const bias = has("bias") ? input("bias") : undefined;
  const dy = has("dy") ? input("dy") : undefined;
  for (let b = 0; b < walk.batch; b++) {
    for (let c = 0; c < channels; c++) {
      const steps: { at: number; starts: boolean; ds: number }[] = [];
      walkChannel(walk, x, stateRow(initial, walk, b, c), b, c, (at, history, starts) => {
        const s = weighted(history, weight, c, bias?.[c] ?? 0);
        const slope = params["activation"] === "silu" ? sigmoid(s) * (1 + s * (1 - sigmoid(s))) : 1;
        const ds = (dy?.[at] ?? 0) * slope;
        steps.push({ at, starts, ds });
        history.forEach((value, k) => {
          dWeight[c * window + k]! += ds * value;
        });
        if (wants("dBias")) output("dBias")[c]! += ds;
      });
      // gradient of the samples in the state, oldest first
      let g = stateRow(dFinal, walk, b, c);
      for (const { at, starts, ds } of steps.reverse()) {
        const w = (k: number): number => weight[c * window + k]!;
        dx[at] = w(window - 1) * ds + (g.at(-1) ?? 0);
        g = g.map((_, k) => (starts ? 0 : w(k) * ds + (k > 0 ? g[k - 1]! : 0)));
      }
      if (!wants("dInitialState")) continue;
      g.forEach((value, k) => {
        output("dInitialState")[(b * (window - 1) + k) * channels + c] = value;
      });
    }
  }
};

const convUpdate: ReferenceKernel = ({ input, output, has, axes, params }) => {
  const { batch, channels, window } = axes as { batch: number; channels: number; window: number };
  const [x, weight, state, y] = [input("x"), input("weight"), input("state"), output("y")];
  const place = (b: number, k: number, c: number): number => (b * (window - 1) + k) * channels + c;
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      const held = Array.from({ length: window - 1 }, (_, k) => state[place(b, k, c)]!);
      const history = [...held, x[b * channels + c]!];
      const s = weighted(history, weight, c, has("bias") ? input("bias")[c]! : 0);
      y[b * channels + c] = params["activation"] === "silu" ? s * sigmoid(s) : s;
      history.slice(1).forEach((value, k) => {
        state[place(b, k, c)] = value;
      });
    }
  }
};

/** Reference kernels of this folder. */
export const causalConvReference = {
  causalConv,
  causalConvBackward,
  convUpdate,
} as const satisfies Record<string, ReferenceKernel>;
