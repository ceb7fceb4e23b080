import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import { sigmoid, softplus } from "../elementwise/functions.ts";
import { CHUNK } from "./chunk.ts";

/** Element of a parameter or selective input by batch, time, channel and state. */
type Coefficient = (batch: number, time: number, channel: number, n: number) => number;

/** What one channel of one sequence needs, by index. */
interface Scan {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly states: number;
  readonly groups: number;
  readonly A: (channel: number, n: number) => number;
  readonly B: Coefficient;
  readonly C: Coefficient;
  /** u or z at batch, time and channel. */
  readonly at: (name: "u" | "z", batch: number, time: number, channel: number) => number;
  /** Element of a vector over channels, 0 where it is left out. */
  readonly per: (name: "D" | "deltaBias", channel: number) => number;
  readonly delta: (batch: number, time: number, channel: number) => number;
  /** Time of the i-th step. */
  readonly time: (i: number) => number;
  /** Segment of the i-th step; -1 is padding. */
  readonly segment: (batch: number, i: number) => number;
}

function scanOf(context: ReferenceContext): Scan {
  const { has, input, axes, params } = context;
  const [batch, length, channels, states] = ["batch", "length", "channels", "state"].map((name) => axes[name]!) as [
    number,
    number,
    number,
    number,
  ];
  const groups = axes["groups"] ?? 1;
  const perGroup = channels / groups;
  const selective = (name: string): Coefficient => {
    if (has(`constant${name}`)) {
      const values = input(`constant${name}`);
      return (_b, _t, channel, n) => values[channel * states + n]!;
    }
    const values = input(name);
    return (b, t, channel, n) => values[((b * length + t) * groups + Math.floor(channel / perGroup)) * states + n]!;
  };
  const A = input("A");
  const rows = { u: input("u"), z: has("z") ? input("z") : undefined };
  const vectors = {
    D: has("D") ? input("D") : undefined,
    deltaBias: has("deltaBias") ? input("deltaBias") : undefined,
  };
  const at: Scan["at"] = (name, b, t, c) => rows[name]![(b * length + t) * channels + c]!;
  const per: Scan["per"] = (name, c) => vectors[name]?.[c] ?? 0;
  const raw = input("delta");
  const ids = has("segmentIds") ? input("segmentIds") : undefined;
  const softened = Boolean(params["deltaSoftplus"]);
  const reverse = Boolean(params["reverse"]);
  const time = (i: number): number => (reverse ? length - 1 - i : i);
  return {
    ...{ batch, length, channels, states, groups, at, per, time },
    A: (c, n) => A[c * states + n]!,
    B: selective("B"),
    C: selective("C"),
    delta: (b, t, c) => {
      const x = raw[(b * length + t) * channels + c]! + per("deltaBias", c);
      return softened ? softplus(x) : x;
    },
    segment: (b, i) => (ids ? ids[b * length + time(i)]! : 0),
  };
}

/** One step of one channel: h = exp(delta A) h + delta B u, in place; returns C h. */
function advance(scan: Scan, h: Float64Array, b: number, t: number, c: number): number {
  const delta = scan.delta(b, t, c);
  const x = delta * scan.at("u", b, t, c);
  let y = 0;
  for (let n = 0; n < h.length; n++) {
    h[n] = Math.exp(delta * scan.A(c, n)) * h[n]! + x * scan.B(b, t, c, n);
    y += scan.C(b, t, c, n) * h[n]!;
  }
  return y;
}

/** Walks a channel through time; tells of every step and of every segment's end. */
function walkChannel(
  scan: Scan,
  h: Float64Array,
  b: number,
  c: number,
  tell: { before(i: number): void; step(t: number, y: number): void; end(segment: number): void },
): void {
  let current = -1;
  for (let i = 0; i < scan.length; i++) {
    const segment = scan.segment(b, i);
    if (current >= 0 && segment >= 0 && segment !== current) {
      tell.end(current);
      tell.before(i);
      h.fill(0);
    } else tell.before(i);
    if (segment < 0) continue;
    current = segment;
    tell.step(scan.time(i), advance(scan, h, b, scan.time(i), c));
  }
  if (current >= 0) tell.end(current);
}

const selectiveScan: ReferenceKernel = (context) => {
  const { input, output, has, wants, axes } = context;
  const scan = scanOf(context);
  const { batch, length, channels, states } = scan;
  const y = output("y");
  const row = (b: number, count: number, i: number, c: number): number => ((b * count + i) * channels + c) * states;
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      const first = row(b, 1, 0, c);
      const h = Float64Array.from(has("initialState") ? input("initialState").subarray(first, first + states) : []);
      const state = h.length > 0 ? h : new Float64Array(states);
      walkChannel(scan, state, b, c, {
        before: (i) => {
          if (i % CHUNK > 0 || !wants("chunkStates")) return;
          output("chunkStates").set(state as Float64Array, row(b, axes["chunks"]!, i / CHUNK, c));
        },
        step: (t, sum) => {
          const skipped = sum + scan.per("D", c) * scan.at("u", b, t, c);
          y[(b * length + t) * channels + c] = has("z") ? skipped * silu(scan.at("z", b, t, c)) : skipped;
        },
        end: (segment) => {
          if (!wants("segmentStates") || segment >= axes["segments"]!) return;
          output("segmentStates").set(state as Float64Array, row(b, axes["segments"]!, segment, c));
        },
      });
      output("finalState").set(state as Float64Array, first);
    }
  }
};

function silu(x: number): number {
  return x * sigmoid(x);
}

/** Every state before a step, for all steps of a channel, from the saved entries of chunks. */
function statesBefore(scan: Scan, context: ReferenceContext, b: number, c: number): Float64Array[] {
  const { input, axes } = context;
  const { states, channels } = scan;
  const saved = input("chunkStates");
  const h = new Float64Array(states);
  const all: Float64Array[] = [];
  let current = -1;
  for (let i = 0; i < scan.length; i++) {
    if (i % CHUNK === 0) {
      const at = ((b * axes["chunks"]! + i / CHUNK) * channels + c) * states;
      h.set(saved.subarray(at, at + states));
    }
    const segment = scan.segment(b, i);
    if (current >= 0 && segment >= 0 && segment !== current) h.fill(0);
    all.push(h.slice());
    if (segment < 0) continue;
    current = segment;
    advance(scan, h, b, scan.time(i), c);
  }
  return all;
}

/** Segment of the step before the i-th that is not padding, or -1. */
function segmentBefore(scan: Scan, b: number, i: number): number {
  for (let k = i - 1; k >= 0; k--) if (scan.segment(b, k) >= 0) return scan.segment(b, k);
  return -1;
}

const gradientNames = "du dDelta dA dB dConstantB dC dConstantC dD dz dDeltaBias dInitialState".split(" ");

/** Adds to an output where it is wanted. */
type Add = (name: string, index: number, value: number) => void;

const selectiveScanBackward: ReferenceKernel = (context) => {
  const { input, output, has, wants, axes } = context;
  const scan = scanOf(context);
  const { batch, channels, states } = scan;
  const wanted = new Map(gradientNames.filter(wants).map((name) => [name, output(name)]));
  const add: Add = (name, index, value) => {
    const gradient = wanted.get(name);
    if (gradient) gradient[index]! += value;
  };
  const gradientOf = (name: string, rows: number, row: number, b: number, c: number): Float64Array => {
    const g = new Float64Array(states);
    if (!has(name) || row < 0 || row >= rows) return g;
    const at = ((b * rows + row) * channels + c) * states;
    g.set(input(name).subarray(at, at + states));
    return g;
  };
  const segments = axes["segments"] ?? 0;
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      const before = statesBefore(scan, context, b, c);
      const g = gradientOf("dFinalState", 1, 0, b, c);
      const last = gradientOf("dSegmentStates", segments, segmentBefore(scan, b, scan.length), b, c);
      for (let n = 0; n < states; n++) g[n]! += last[n]!;
      for (let i = scan.length - 1; i >= 0; i--) {
        const segment = scan.segment(b, i);
        if (segment < 0) continue;
        stepBack(scan, context, add, g, before[i]!, b, scan.time(i), c);
        const previous = segmentBefore(scan, b, i);
        if (previous >= 0 && previous !== segment) g.set(gradientOf("dSegmentStates", segments, previous, b, c));
      }
      for (let n = 0; n < states; n++) add("dInitialState", (b * channels + c) * states + n, g[n]!);
    }
  }
};

/** All gradients of one step; `g` is the gradient of the state after it, then of the state before it. */
function stepBack(
  scan: Scan,
  { input, has, params }: ReferenceContext,
  add: Add,
  g: Float64Array,
  h: Float64Array,
  b: number,
  t: number,
  c: number,
): void {
  const { states, groups, channels, length } = scan;
  const at = (b * length + t) * channels + c;
  const [u, delta, out] = [scan.at("u", b, t, c), scan.delta(b, t, c), input("dy")[at]!];
  const z = has("z") ? scan.at("z", b, t, c) : 0;
  const dy = has("z") ? out * silu(z) : out;
  const skip = scan.per("D", c);
  let [y, throughB, dDelta] = [skip * u, 0, 0];
  for (let n = 0; n < states; n++) {
    const [A, B, C] = [scan.A(c, n), scan.B(b, t, c, n), scan.C(b, t, c, n)];
    const decay = Math.exp(delta * A);
    const next = decay * h[n]! + delta * u * B;
    const adjoint = g[n]! + dy * C;
    y += C * next;
    throughB += adjoint * B;
    dDelta += adjoint * (decay * h[n]! * A + u * B);
    const group = ((b * length + t) * groups + Math.floor((c * groups) / channels)) * states + n;
    add("dA", c * states + n, adjoint * decay * h[n]! * delta);
    add(has("constantB") ? "dConstantB" : "dB", has("constantB") ? c * states + n : group, adjoint * delta * u);
    add(has("constantC") ? "dConstantC" : "dC", has("constantC") ? c * states + n : group, dy * next);
    g[n] = decay * adjoint;
  }
  // the slope of softplus is 1 - exp(-softplus)
  if (params["deltaSoftplus"]) dDelta *= -Math.expm1(-delta);
  add("du", at, skip * dy + delta * throughB);
  add("dDelta", at, dDelta);
  add("dDeltaBias", c, dDelta);
  add("dD", c, dy * u);
  if (has("z")) add("dz", at, out * y * sigmoid(z) * (1 + z * (1 - sigmoid(z))));
}

/** Reference kernels of this folder. */
export const selectiveScanReference = {
  selectiveScan,
  selectiveScanBackward,
} as const satisfies Record<string, ReferenceKernel>;
