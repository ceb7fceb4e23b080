import { type Program, programNamed } from "../../backends/webgpu/index.ts";
import { type Prepared, type Variant, WORKGROUP } from "./variant.webgpu.ts";

/** Steps whose loads are issued together. */
const TOGETHER = 4;
/** Threads that fill a large card; time is cut finer until there are as many. */
const WANTED_THREADS = 2 ** 16;

/** How sequences without segments are walked: a thread takes `width` neighbouring channels through `steps` steps. */
export interface Walk {
  readonly width: 1 | 4;
  /** Places and sizes in units of `width` channels. */
  readonly values: Readonly<Record<string, number>>;
  /** Pieces of time of all sequences together. */
  readonly rows: number;
  readonly threads: number;
}

const params: Program["params"] = [
  ...(["batch:u32", "length:u32", "columns:u32", "steps:u32", "chunks:u32", "xOffset:u32", "xBatch:u32"] as const),
  ...(["xTime:u32", "weightOffset:u32", "weightRow:u32", "biasOffset:u32", "initialOffset:u32"] as const),
  ...(["dyOffset:u32", "dFinalOffset:u32", "outOffset:u32"] as const),
];

/** @param most - steps of a thread at most; fewer where threads are few */
export function walkOf({ values: given }: Prepared, most: number, outOffset: number): Walk {
  const { batch, length, channels } = given as Record<"batch" | "length" | "channels", number>;
  const scaled = {
    ...{ columns: channels, xOffset: given["xOffset"]!, xTime: given["xTime"]! },
    ...{ xBatch: batch > 1 ? given["xBatch"]! : 0, biasOffset: given["biasOffset"]! },
    ...{ initialOffset: given["initialOffset"]!, dyOffset: given["dyOffset"]! },
    ...{ dFinalOffset: given["dFinalOffset"]!, outOffset },
  };
  const width = Object.values(scaled).every((value) => value % 4 === 0) ? 4 : 1;
  const places = Object.fromEntries(Object.entries(scaled).map(([name, value]) => [name, value / width]));
  const threadsOf = (steps: number): number => (batch * Math.ceil(length / steps) * channels) / width;
  let steps = most;
  while (steps > 8 && threadsOf(steps) < WANTED_THREADS) steps /= 2;
  const chunks = Math.ceil(length / steps);
  const { weightOffset, weightRow } = given as Record<"weightOffset" | "weightRow", number>;
  const values = { batch, length, steps, chunks, ...places, weightOffset, weightRow };
  return { width, values, rows: batch * chunks, threads: threadsOf(steps) };
}

const lines = (count: number, code: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => code(i)).join("\n");

function nameOf(name: string, { window, silu, reverse, has }: Variant, width: number): string {
  const facts = [name, window, `by ${width}`, silu ? "silu" : "", reverse ? "reverse" : "", ...has];
  return facts.filter((fact) => fact !== "").join(" ");
}

/** WGSL that both walks share: samples by step, those before the first from the state; taps `w0`.. and `own_bias`. */
function shared({ window, reverse, has }: Variant, width: number): { declarations: string; start: string } {
  const before = window - 1;
  const initial = has.has("initialState")
    ? `initialState[p.initialOffset + (b * ${before}u + u32(i + ${before})) * p.columns + c]`
    : "Samples()";
  const tap = (k: number): string => {
    const one = (lane: number): string => `weight[p.weightOffset + (c * ${width}u + ${lane}u) * p.weightRow + ${k}u]`;
    return `let w${k} = Samples(${Array.from({ length: width }, (_, lane) => one(lane)).join(", ")});`;
  };
  return {
    declarations: `
alias Samples = ${width === 4 ? "vec4<f32>" : "f32"};
fn timeOf(i: u32) -> u32 { return ${reverse ? "p.length - 1u - i" : "i"}; }
fn sampleAt(b: u32, i: i32, c: u32) -> Samples {
  if (i < 0) { return ${initial}; }
  return x[p.xOffset + b * p.xBatch + timeOf(u32(i)) * p.xTime + c];
}
fn sigmoidOf(s: Samples) -> Samples { return Samples(1.0) / (Samples(1.0) + exp(-s)); }`,
    start: `
  let c = index % p.columns;
  let chunk = (index / p.columns) % p.chunks;
  let b = index / (p.columns * p.chunks);
  if (b >= p.batch) { return; }
  let first = chunk * p.steps;
  let end = min(p.length, first + p.steps);
  ${lines(window, tap)}
  let own_bias = ${has.has("bias") ? "bias[p.biasOffset + c]" : "Samples()"};
  ${lines(before, (k) => `var held${k} = sampleAt(b, i32(first) - ${before - k}, c);`)}`,
  };
}

/** The k-th oldest of the last values at step j of a block: of the block itself, or held from before. */
const valueAt = (own: string, held: string, j: number, k: number, before: number): string => {
  const step = j - before + k;
  return step < 0 ? `${held}${before + step}` : `${own}${step}`;
};
const hold = (own: string, held: string, before: number): string =>
  lines(before, (k) => `${held}${k} = ${valueAt(own, held, TOGETHER - 1, k + 1, before)};`);

const weighted = (window: number, j: number): string =>
  Array.from({ length: window }, (_, k) => k).reduce(
    (sum, k) => `fma(w${k}, ${valueAt("x", "held", j, k, window - 1)}, ${sum})`,
    "own_bias",
  );

const typeOf = (width: number): "vec4<f32>" | "f32" => (width === 4 ? "vec4<f32>" : "f32");

/** What comes in of `reads`, in the order of bindings. */
const readBindings = (reads: readonly string[], { has, window }: Variant, width: number): Program["bindings"] =>
  reads
    .filter((name) => has.has(name) && (window > 1 || !name.endsWith("State")))
    .map((name) => ({ name, type: name === "weight" ? "f32" : typeOf(width) }));

/** y = act(bias + sum of weight[k] x[i - window + 1 + k]). */
export function walkProgram(given: Variant, { width }: Walk): Program {
  return programNamed(nameOf("causalConv walk", given, width), () => {
    const { window, silu } = given;
    const { declarations, start } = shared(given, width);
    return {
      bindings: [
        ...readBindings(["x", "weight", "bias", "initialState"], given, width),
        { name: "y", type: typeOf(width), write: true },
      ],
      params,
      workgroup: WORKGROUP,
      declarations,
      body: `${start}
  for (var i = first; i < end; i += ${TOGETHER}u) {
    ${lines(TOGETHER, (j) => `let x${j} = sampleAt(b, i32(min(i + ${j}u, end - 1u)), c);`)}
    ${lines(
      TOGETHER,
      (j) => `let s${j} = ${weighted(window, j)};
    if (i + ${j}u < end) { y[p.outOffset + (b * p.length + timeOf(i + ${j}u)) * p.columns + c] = ${silu ? `s${j} * sigmoidOf(s${j})` : `s${j}`}; }`,
    )}
    ${hold("x", "held", window - 1)}
  }`,
    };
  });
}

/**
 * All gradients in one walk. A thread goes \`window\` - 1 steps past its own, because their slopes reach back to its samples; what it
 * adds up for weight, [rows channels window], and bias, [rows channels] behind it, goes to \`partial\`.
 */
export function walkBackProgram(given: Variant, { width }: Walk, makesInitial: boolean): Program {
  return programNamed(`${nameOf("causalConv walk back", given, width)}${makesInitial ? " initial" : ""}`, () => {
    const { window, silu, has } = given;
    const before = window - 1;
    const { declarations, start } = shared(given, width);
    const lane = (value: string, k: number): string => (width === 4 ? `${value}[${k}]` : value);
    const slope = (j: number): string =>
      silu ? `gate${j} * fma(s${j}, Samples(1.0) - gate${j}, Samples(1.0))` : "Samples(1.0)";
    const dx = (j: number): string => {
      const sum = Array.from({ length: window }, (_, k) => k)
        .map((k) => `w${before - k} * ${valueAt("ds", "slope", j, k, before)}`)
        .join(" + ");
      return `{
      let i = e + ${j} - ${before};
      var value = ${sum};
      ${
        has.has("dFinalState") && before > 0
          ? `if (i < length && i + ${before} >= length) { value += dFinalState[p.dFinalOffset + (b * ${before}u + u32(i + ${before} - length)) * p.columns + c]; }`
          : ""
      }
      if (i >= i32(first) && i < i32(end)) { dx[p.outOffset + (b * p.length + timeOf(u32(i))) * p.columns + c] = value; }
      ${makesInitial ? `if (i < 0) { let at = initial + ((b * ${before}u + u32(i + ${before})) * p.columns + c) * ${width}u; ${lines(width, (k) => `partial[at + ${k}u] = ${lane("value", k)};`)} }` : ""}
    }`;
    };
    return {
      bindings: [
        ...readBindings(["x", "weight", "bias", "initialState", "dy", "dFinalState"], given, width),
        { name: "dx", type: typeOf(width), write: true },
        { name: "partial", type: "f32", write: true },
      ],
      params,
      workgroup: WORKGROUP,
      declarations,
      body: `${start}
  let length = i32(p.length);
  ${makesInitial ? `let initial = p.batch * p.chunks * p.columns * ${width * (window + 1)}u;` : ""}
  ${lines(before, (k) => `var slope${k} = Samples();`)}
  ${lines(window, (k) => `var of_weight${k} = Samples();`)}
  var of_bias = Samples();
  let last = i32(end) + ${before};
  for (var e = i32(first); e < last; e += ${TOGETHER}) {
    ${lines(
      TOGETHER,
      (j) => `let i${j} = min(e + ${j}, length - 1);
    let x${j} = sampleAt(b, i${j}, c);
    ${has.has("dy") ? `let dy${j} = dy[p.dyOffset + (b * p.length + timeOf(u32(i${j}))) * p.columns + c];` : ""}`,
    )}
    ${lines(
      TOGETHER,
      (j) => `
    ${silu ? `let s${j} = ${weighted(window, j)}; let gate${j} = sigmoidOf(s${j});` : ""}
    let ds${j} = ${has.has("dy") ? `select(Samples(), dy${j} * ${slope(j)}, e + ${j} < length)` : "Samples()"};
    let own${j} = select(Samples(), ds${j}, e + ${j} < i32(end));
    of_bias += own${j};
    ${lines(window, (k) => `of_weight${k} = fma(own${j}, ${valueAt("x", "held", j, k, before)}, of_weight${k});`)}
    ${dx(j)}`,
    )}
    ${hold("x", "held", before)}
    ${hold("ds", "slope", before)}
  }
  let row = (index / p.columns) * p.columns * ${width}u + c * ${width}u;
  ${lines(width, (k) => lines(window, (tap) => `partial[(row + ${k}u) * ${window}u + ${tap}u] = ${lane(`of_weight${tap}`, k)};`))}
  ${has.has("bias") ? lines(width, (k) => `partial[p.batch * p.chunks * p.columns * ${width * window}u + row + ${k}u] = ${lane("of_bias", k)};`) : ""}`,
    };
  });
}
