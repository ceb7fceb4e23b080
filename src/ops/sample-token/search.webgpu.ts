export const WORKGROUP = 256;
/** Values of a sum that are tried at a time, one bit fewer than which fit in as many steps of the search. */
export const TRIED = 15;
const BITS = 4;
/** Sums that threads add up between barriers. */
export const SUMMED = 5;
/** Threads that add up one of them first. */
const ADDERS = 16;
/** Threads that go through the values of all before one goes through theirs. */
export const TEAMS = 16;

const list = (count: number, code: (i: number) => string, separator = "\n"): string =>
  Array.from({ length: count }, (_, i) => code(i)).join(separator);

/** Larger for larger logits; equal for both zeros. Logits come as bits, for shaders need not tell infinities from numbers. */
export const rowCode = `
var<private> start: u32;
var<private> most: f32;
fn bitsAt(id: u32) -> u32 { return logits[start + id]; }
fn keyOf(bits: u32) -> u32 {
  return select(select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u), 0x80000000u, bits == 0x80000000u);
}
fn bitsOf(key: u32) -> u32 { return select(~key, key & 0x7fffffffu, key >= 0x80000000u); }
fn weightOf(bits: u32) -> f32 {
  if (bits == 0xff800000u) { return 0.0; }
  let logit = bitcast<f32>(bits);
  let x = (logit - most) / p.temperature;
  return select(expOf(x), 0.0, x < -87.0);
}`;

/** WGSL: the largest of some keys in two halves, in the first one's place. */
export const keepCode = `
fn keepLargest(first: u32, step: u32, keys: u32) {
  for (var i = 1u; i < keys; i++) {
    let other = first + i * step;
    let isLarger = addends[other] > addends[first] ||
      (addends[other] == addends[first] && addends[${WORKGROUP}u + other] > addends[${WORKGROUP}u + first]);
    if (!isLarger) { continue; }
    addends[first] = addends[other];
    addends[${WORKGROUP}u + first] = addends[${WORKGROUP}u + other];
  }
}`;

/** WGSL: `addends[team]`, sums of `ranges` over neighbours. Every thread must come here. */
export const teamsCode = `
  workgroupBarrier();
  if (lane < ${TEAMS}u) {
    var team = 0.0;
    for (var i = 0u; i < ${WORKGROUP / TEAMS}u; i++) { team += ranges[lane * ${WORKGROUP / TEAMS}u + i]; }
    addends[lane] = team;
  }
  workgroupBarrier();`;

/**
 * WGSL: `sums[i]`, the sum of `values[i]` over all threads. Every thread must come here.
 */
export function sumsCode(values: readonly string[]): string {
  const round = (first: number): string => {
    const some = values.slice(first, first + SUMMED);
    return `
    ${some.map((value, i) => `addends[${i * WORKGROUP}u + lane] = ${value};`).join(" ")}
    workgroupBarrier();
    var some${first} = 0.0;
    if (lane < ${some.length * ADDERS}u) {
      for (var i = 0u; i < ${WORKGROUP / ADDERS}u; i++) { some${first} += addends[lane * ${WORKGROUP / ADDERS}u + i]; }
    }
    workgroupBarrier();
    if (lane < ${some.length * ADDERS}u) { addends[lane] = some${first}; }
    workgroupBarrier();
    if (lane < ${some.length}u) {
      var sum = 0.0;
      for (var i = 0u; i < ${ADDERS}u; i++) { sum += addends[lane * ${ADDERS}u + i]; }
      sums[${first}u + lane] = sum;
    }
    workgroupBarrier();`;
  };
  return list(Math.ceil(values.length / SUMMED), (i) => round(i * SUMMED));
}

/** WGSL: what a candidate counts for in a search: 1, or its weight; of the last ones of equal keys only a share are candidates. */
export const shareCode = (isWeighted: boolean): string =>
  isWeighted ? "weightOf(bits) * select(1.0, share, key == edge)" : "1.0";

/**
 * WGSL: `edge` becomes the largest key for which candidates from there on sum up to `aim`, and `ties` how many candidates of that key it
 * takes. The search goes through all bits of a key, four at a time.
 */
export const searchCode = (isWeighted: boolean, aim: string): string => `
  {
    let aim = ${aim};
    var low = 0u;
    for (var shift = ${32 - BITS}; shift >= 0; shift -= ${BITS}) {
      let step = 1u << u32(shift);
      ${list(TRIED, (i) => `var sum${i} = 0.0;`)}
      for (var id = lane; id < p.vocab; id += ${WORKGROUP}u) {
        let bits = bitsAt(id);
        let key = keyOf(bits);
        if (key < max(edge, low)) { continue; }
        let own = ${shareCode(isWeighted)};
        ${list(TRIED, (i) => `sum${i} += select(0.0, own, key >= low + ${i + 1}u * step);`)}
      }
      ${sumsCode(Array.from({ length: TRIED }, (_, i) => `sum${i}`))}
      for (var i = ${TRIED}u; i > 0u; i--) {
        if (sums[i - 1u] >= aim) { low += i * step; break; }
      }
      workgroupBarrier();
    }
    var before = 0.0;
    var equals = 0.0;
    for (var id = lane; id < p.vocab; id += ${WORKGROUP}u) {
      let bits = bitsAt(id);
      let key = keyOf(bits);
      if (key < max(edge, low)) { continue; }
      let own = ${shareCode(isWeighted)};
      before += select(own, 0.0, key == low);
      equals += select(0.0, 1.0, key == low);
    }
    ${sumsCode(["before", "equals"])}
    let found = max(edge, low);
    let there = max(1.0, select(sums[1], ties, found == edge));
    let each = ${isWeighted ? "weightOf(bitsOf(found))" : "1.0"};
    ties = clamp(ceil((aim - sums[0]) / max(each, 1e-38)), 1.0, there);
    share = ties / max(1.0, sums[1]);
    edge = found;
    workgroupBarrier();
  }`;
