import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import { CHUNK } from "./chunk.ts";

type Complex = readonly [re: number, im: number];

const times = ([a, b]: Complex, [c, d]: Complex): Complex => [a * c - b * d, a * d + b * c];
const plus = ([a, b]: Complex, [c, d]: Complex): Complex => [a + c, b + d];
const conjugate = ([a, b]: Complex): Complex => [a, -b];
const scaled = ([a, b]: Complex, by: number): Complex => [a * by, b * by];

/** A-bar - 1, and its derivative by z. */
function stepOf([re, im]: Complex, bilinear: boolean): { g: Complex; slope: Complex } {
  if (!bilinear) {
    const sine = Math.sin(im / 2);
    const g: Complex = [Math.expm1(re) * Math.cos(im) - 2 * sine * sine, 2 * Math.exp(re) * sine * Math.cos(im / 2)];
    return { g, slope: plus(g, [1, 0]) };
  }
  const size = (1 - re / 2) ** 2 + (im / 2) ** 2;
  const inverse: Complex = [(1 - re / 2) / size, im / 2 / size];
  return { g: times([re, im], inverse), slope: times(inverse, inverse) };
}

interface State {
  readonly A: Complex;
  readonly gain: Complex;
  readonly C: Complex;
  /** Its place among the states of all sequences, and of a sequence's chunk. */
  readonly at: number;
  readonly chunkAt: (chunk: number) => number;
  /** Place of its u at a time. */
  readonly row: (t: number) => number;
}

/** Calls `f` for each state of each channel of each sequence. */
function eachState(context: ReferenceContext, f: (state: State) => void): void {
  const {
    batch,
    length,
    channels,
    state: states,
  } = context.axes as {
    batch: number;
    length: number;
    channels: number;
    state: number;
  };
  const chunks = Math.ceil(length / CHUNK);
  const [A, gain, C] = [context.input("A"), context.input("gain"), context.input("C")];
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      for (let n = 0; n < states; n++) {
        const own = c * states + n;
        f({
          ...{ A: pair(A, own), gain: pair(gain, own), C: pair(C, own), at: b * channels * states + own },
          chunkAt: (chunk) => (b * chunks + chunk) * channels * states + own,
          row: (t) => (b * length + t) * channels + c,
        });
      }
    }
  }
}

type Pairs = ArrayLike<number>;

function pair(x: Pairs, at: number): Complex {
  return [x[2 * at]!, x[2 * at + 1]!];
}

function put(x: { [index: number]: number }, at: number, [re, im]: Complex): void {
  x[2 * at] = re;
  x[2 * at + 1] = im;
}

const diagonalScan: ReferenceKernel = (context) => {
  const { input, output, has, wants, axes, params } = context;
  const [u, delta, y] = [input("u"), input("delta"), output("y")];
  const sums = new Float64Array(y.length);
  const factor = params["conjugate"] ? 2 : 1;
  eachState(context, ({ A, gain, C, at, chunkAt, row }) => {
    let h: Complex = has("initialState") ? pair(input("initialState"), at) : [0, 0];
    for (let t = 0; t < axes["length"]!; t++) {
      if (t % CHUNK === 0 && wants("chunkStates")) put(output("chunkStates"), chunkAt(t / CHUNK), h);
      const { g } = stepOf(scaled(A, delta[row(t)]!), Boolean(params["bilinear"]));
      h = plus(h, times(g, plus(h, scaled(gain, u[row(t)]!))));
      sums[row(t)]! += factor * times(C, h)[0];
    }
    put(output("finalState"), at, h);
  });
  y.set(sums as Float64Array);
};

const diagonalScanBackward: ReferenceKernel = (context) => {
  const { input, output, has, axes, params } = context;
  const [u, delta, dy] = [input("u"), input("delta"), input("dy")];
  const [du, dDelta] = [new Float64Array(u.length), new Float64Array(u.length)];
  const factor = params["conjugate"] ? 2 : 1;
  const bilinear = Boolean(params["bilinear"]);
  const length = axes["length"]!;
  eachState(context, ({ A, gain, C, at, chunkAt, row }) => {
    const before: Complex[] = [];
    for (let t = 0; t < length; t++) {
      const h = t % CHUNK === 0 ? pair(input("chunkStates"), chunkAt(t / CHUNK)) : before[t]!;
      const { g } = stepOf(scaled(A, delta[row(t)]!), bilinear);
      before[t] = h;
      before[t + 1] = plus(h, times(g, plus(h, scaled(gain, u[row(t)]!))));
    }
    let adjoint: Complex = has("dFinalState") ? pair(input("dFinalState"), at) : [0, 0];
    let [dA, dGain, dC]: [Complex, Complex, Complex] = [
      [0, 0],
      [0, 0],
      [0, 0],
    ];
    for (let t = length - 1; t >= 0; t--) {
      const { g, slope } = stepOf(scaled(A, delta[row(t)]!), bilinear);
      const entering = plus(before[t]!, scaled(gain, u[row(t)]!));
      const given = factor * dy[row(t)]!;
      adjoint = plus(adjoint, scaled(conjugate(C), given));
      dC = plus(dC, scaled(conjugate(before[t + 1]!), given));
      const dEntering = times(conjugate(g), adjoint);
      dGain = plus(dGain, scaled(dEntering, u[row(t)]!));
      du[row(t)]! += times(conjugate(gain), dEntering)[0];
      const dz = times(times(adjoint, conjugate(entering)), conjugate(slope));
      dA = plus(dA, scaled(dz, delta[row(t)]!));
      dDelta[row(t)]! += times(conjugate(A), dz)[0];
      adjoint = plus(adjoint, dEntering);
    }
    put(output("dA"), at, dA);
    put(output("dGain"), at, dGain);
    put(output("dC"), at, dC);
    put(output("dInitialState"), at, adjoint);
  });
  output("du").set(du as Float64Array);
  output("dDelta").set(dDelta as Float64Array);
};

/** Reference kernels of this folder. */
export const diagonalScanReference = { diagonalScan, diagonalScanBackward } as const satisfies Record<
  string,
  ReferenceKernel
>;
