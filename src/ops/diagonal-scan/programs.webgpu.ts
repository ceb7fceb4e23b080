import { type Program, programNamed, wgslMath } from "../../backends/webgpu/index.ts";
import { CHUNK } from "./chunk.ts";

/** Threads of a workgroup: a thread walks one state of one channel. */
export const WORKGROUP = 64;
/** Steps whose terms are added up over states at a time. */
const TILE = 16;

const math = (bilinear: boolean): string => `${wgslMath("expm1", "trigonometry")}
fn times(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}
fn conjugateOf(a: vec2<f32>) -> vec2<f32> { return vec2<f32>(a.x, -a.y); }
fn stepOf(z: vec2<f32>) -> vec2<f32> {
  let half = 0.5 * z.y;
  ${
    bilinear
      ? `let along = fma(-0.5, z.x, 1.0);
  return times(z, vec2<f32>(along, half)) / fma(along, along, half * half);`
      : `let decay = expm1Of(z.x);
  let sine = turned(half, 0);
  let less = 2.0 * sine * sine;
  return vec2<f32>(fma(-decay, less, decay) - less, (1.0 + decay) * 2.0 * sine * turned(half, 1));`
  }
}`;

/** Adds up terms of states [steps threads] and gives step t of channel q to `store(t, q, sum)`. */
const addUp = (parts: string, store: string): string => `
      for (var k = lane; k < ${TILE}u * p.width; k += ${WORKGROUP}u) {
        let time = start + k / p.width;
        let q = k % p.width;
        let channel = firstChannel + q;
        if (time < p.length && channel < p.channels && b < p.batch) {
          var sum = 0.0;
          for (var j = 0u; j < p.slots; j++) { sum += ${parts}[k / p.width * ${WORKGROUP}u + q * p.slots + j]; }
          ${store}
        }
      }`;

const sizes = [
  "batch:u32",
  "length:u32",
  "channels:u32",
  "states:u32",
  "slots:u32",
  "width:u32",
  "factor:f32",
] as const;
const rowParams = (name: string) => [`${name}Offset:u32`, `${name}Batch:u32`, `${name}Row:u32`] as const;
const at = (name: string, time: string, channel: string): string =>
  `${name}[p.${name}Offset + b * p.${name}Batch + ${time} * p.${name}Row + ${channel}]`;

/** Which state of which channel a thread walks; a workgroup has `slots` states of several channels. */
const place = `
  let blocks = (p.channels + p.width - 1u) / p.width;
  let b = group / blocks;
  let firstChannel = group % blocks * p.width;
  let c = firstChannel + lane / p.slots;
  let size = p.channels * p.states;`;

/** The states of a thread's channel that it takes one after the other. */
const eachBlock = (body: string): string => `
  for (var first = 0u; first < p.states; first += p.slots) {
    let n = first + lane % p.slots;
    let isOwn = b < p.batch && c < p.channels && n < p.states;
    let own = select(0u, c * p.states + n, isOwn);
    let A = system[own];
    let gain = system[size + own];
    let C = system[2u * size + own];
    ${body}
  }`;

/** Walks states through time; with `keeps`, saves one a chunk. */
export function forwardProgram(bilinear: boolean, keeps: boolean): Program {
  return programNamed(`diagonalScan${bilinear ? " bilinear" : ""}${keeps ? " keeps" : ""}`, () => ({
    bindings: [
      { name: "u", type: "f32" },
      { name: "delta", type: "f32" },
      { name: "system", type: "vec2<f32>" },
      { name: "y", type: "f32", write: true },
      { name: "finalState", type: "f32", write: true },
      ...(keeps ? [{ name: "chunkStates", type: "f32", write: true } as const] : []),
    ],
    params: [...sizes, ...rowParams("u"), ...rowParams("delta"), "yOffset:u32", "finalOffset:u32", "chunkOffset:u32"],
    workgroup: WORKGROUP,
    declarations: `${math(bilinear)}\nvar<workgroup> parts: array<f32, ${TILE * WORKGROUP}>;`,
    body: `${place}${eachBlock(
      `var h = system[3u * size + select(0u, b * size + own, isOwn)];
    for (var start = 0u; start < p.length; start += ${TILE}u) {
      for (var t = 0u; t < ${TILE}u; t++) {
        let time = start + t;
        var part = 0.0;
        if (isOwn && time < p.length) {
          ${keeps ? keepChunk : ""}
          let g = stepOf(${at("delta", "time", "c")} * A);
          h += times(g, h + gain * ${at("u", "time", "c")});
          part = p.factor * (C.x * h.x - C.y * h.y);
        }
        parts[t * ${WORKGROUP}u + lane] = part;
      }
      workgroupBarrier();
      ${addUp(
        "parts",
        `let to = p.yOffset + (b * p.length + time) * p.channels + channel;
          if (first > 0u) { sum += y[to]; }
          y[to] = sum;`,
      )}
      workgroupBarrier();
    }
    if (isOwn) {
      let to = p.finalOffset + 2u * (b * size + own);
      finalState[to] = h.x;
      finalState[to + 1u] = h.y;
    }`,
    )}`,
  }));
}

const keepChunk = `if (time % ${CHUNK}u == 0u) {
            let to = p.chunkOffset + 2u * ((b * ((p.length + ${CHUNK - 1}u) / ${CHUNK}u) + time / ${CHUNK}u) * size + own);
            chunkStates[to] = h.x;
            chunkStates[to + 1u] = h.y;
          }`;

/** Walks back, chunk by chunk. */
export function backwardProgram(bilinear: boolean): Program {
  return programNamed(`diagonalScanBackward${bilinear ? " bilinear" : ""}`, () => ({
    bindings: [
      { name: "u", type: "f32" },
      { name: "delta", type: "f32" },
      { name: "system", type: "vec2<f32>" },
      { name: "chunkStates", type: "f32" },
      { name: "dy", type: "f32" },
      { name: "du", type: "f32", write: true },
      { name: "dDelta", type: "f32", write: true },
      { name: "sums", type: "vec2<f32>", write: true },
    ],
    params: [
      ...[...sizes, ...rowParams("u"), ...rowParams("delta"), ...rowParams("dy")],
      ...(["chunkOffset:u32", "duOffset:u32", "dDeltaOffset:u32"] as const),
    ],
    workgroup: WORKGROUP,
    declarations: `${math(bilinear)}
var<workgroup> partsU: array<f32, ${TILE * WORKGROUP}>;
var<workgroup> partsD: array<f32, ${TILE * WORKGROUP}>;`,
    body: `${place}
  let chunks = (p.length + ${CHUNK - 1}u) / ${CHUNK}u;
  var before: array<vec2<f32>, ${CHUNK}>;${eachBlock(backwardBody(bilinear))}`,
  }));
}

const backwardBody = (bilinear: boolean): string => `
    var lambda = system[3u * size + select(0u, b * size + own, isOwn)];
    var dA = vec2<f32>(0.0);
    var dGain = vec2<f32>(0.0);
    var dC = vec2<f32>(0.0);
    for (var chunk = chunks; chunk > 0u; chunk--) {
      let entry = (chunk - 1u) * ${CHUNK}u;
      if (isOwn) {
        let saved = p.chunkOffset + 2u * ((b * chunks + chunk - 1u) * size + own);
        var h = vec2<f32>(chunkStates[saved], chunkStates[saved + 1u]);
        for (var t = 0u; t < ${CHUNK}u && entry + t < p.length; t++) {
          before[t] = h;
          h += times(stepOf(${at("delta", "(entry + t)", "c")} * A), h + gain * ${at("u", "(entry + t)", "c")});
        }
      }
      for (var tile = ${CHUNK / TILE}u; tile > 0u; tile--) {
        let start = entry + (tile - 1u) * ${TILE}u;
        for (var t = ${TILE}u; t > 0u; t--) {
          let time = start + t - 1u;
          var partU = 0.0;
          var partD = 0.0;
          if (isOwn && time < p.length) {
            let input = ${at("u", "time", "c")};
            let step = ${at("delta", "time", "c")};
            let given = p.factor * ${at("dy", "time", "c")};
            let g = stepOf(step * A);
            let h = before[time - entry];
            let entering = h + gain * input;
            lambda += given * conjugateOf(C);
            dC += given * conjugateOf(h + times(g, entering));
            let dEntering = times(conjugateOf(g), lambda);
            dGain += input * dEntering;
            partU = dot(gain, dEntering);
            ${
              bilinear
                ? "let one = vec2<f32>(1.0, 0.0) + 0.5 * g; let slope = times(one, one);"
                : "let slope = vec2<f32>(1.0 + g.x, g.y);"
            }
            let dz = times(times(lambda, conjugateOf(entering)), conjugateOf(slope));
            dA += step * dz;
            partD = dot(A, dz);
            lambda += dEntering;
          }
          partsU[(t - 1u) * ${WORKGROUP}u + lane] = partU;
          partsD[(t - 1u) * ${WORKGROUP}u + lane] = partD;
        }
        workgroupBarrier();
        ${["U", "D"]
          .map((part) => {
            const name = part === "U" ? "du" : "dDelta";
            return addUp(
              `parts${part}`,
              `let to = p.${name}Offset + (b * p.length + time) * p.channels + channel;
          if (first > 0u) { sum += ${name}[to]; }
          ${name}[to] = sum;`,
            );
          })
          .join("")}
        workgroupBarrier();
      }
    }
    if (isOwn) {
      let to = b * size + own;
      sums[to] = dA;
      sums[p.batch * size + to] = dGain;
      sums[2u * p.batch * size + to] = dC;
      sums[3u * p.batch * size + to] = lambda;
    }`;
