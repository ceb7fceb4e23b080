import { type Program, programNamed, type WebgpuKernel } from "../../backends/webgpu/index.ts";

const WORKGROUP = 256;
/** Logits that a workgroup looks through. */
const PART = 2048;
/** Candidates that are left of a workgroup's before one thread looks through them. */
const KEPT = 16;

/** What stands for an id where there is none yet, and where a logit is no number. */
const NONE = "0xffffffffu";
const INVALID = "0xfffffffeu";

/** WGSL: whether one candidate, a value and its id, comes before another: invalid ones first, then larger values, then lower ids. */
const beforeCode = `
fn isBefore(value: f32, id: u32, otherValue: f32, other: u32) -> bool {
  if (id == ${INVALID} || other == ${INVALID}) { return id == ${INVALID}; }
  if (id == ${NONE} || other == ${NONE}) { return other == ${NONE} && id != ${NONE}; }
  return value > otherValue || (value == otherValue && id < other);
}`;

/** The best of each part of a row. Logits come as bits, for shaders need not tell infinities from numbers. */
const partsProgram = (): Program =>
  programNamed("likeliestToken parts", () => ({
    bindings: [
      { name: "logits", type: "u32" },
      { name: "best", type: "u32", write: true },
    ],
    params: ["vocab:u32", "parts:u32", "logitsOffset:u32", "logitsRow:u32"],
    workgroup: WORKGROUP,
    declarations: `${beforeCode}
var<workgroup> values: array<f32, ${WORKGROUP}>;
var<workgroup> ids: array<u32, ${WORKGROUP}>;
fn keepBest(first: u32, step: u32, candidates: u32) {
  for (var i = 1u; i < candidates; i++) {
    let at = first + i * step;
    if (!isBefore(values[at], ids[at], values[first], ids[first])) { continue; }
    values[first] = values[at];
    ids[first] = ids[at];
  }
}`,
    body: `
  let first = (group % p.parts) * ${PART}u;
  let start = p.logitsOffset + (group / p.parts) * p.logitsRow;
  var value = 0.0;
  var id = ${NONE};
  for (var i = lane; i < ${PART}u; i += ${WORKGROUP}u) {
    if (first + i >= p.vocab) { break; }
    let bits = logits[start + first + i];
    if (bits == 0xff800000u) { continue; }
    let own = select(first + i, ${INVALID}, (bits & 0x7f800000u) == 0x7f800000u);
    let logit = bitcast<f32>(select(bits, 0u, own == ${INVALID}));
    if (isBefore(logit, own, value, id)) { value = logit; id = own; }
  }
  values[lane] = value;
  ids[lane] = id;
  workgroupBarrier();
  if (lane < ${KEPT}u) { keepBest(lane * ${WORKGROUP / KEPT}u, 1u, ${WORKGROUP / KEPT}u); }
  workgroupBarrier();
  if (lane == 0u) { keepBest(0u, ${WORKGROUP / KEPT}u, ${KEPT}u); }
  if (lane == 0u) {
    best[2u * group] = bitcast<u32>(values[0]);
    best[2u * group + 1u] = ids[0];
  }`,
  }));

/** The best of all parts, a thread for each row; in one workgroup, since the counter goes on when all rows are done. */
const chooseProgram = (): Program =>
  programNamed("likeliestToken choose", () => ({
    bindings: [
      { name: "best", type: "u32" },
      { name: "ids", type: "i32", write: true },
      { name: "history", type: "i32", write: true },
      { name: "count", type: "i32", write: true },
    ],
    params: ["batch:u32", "parts:u32", "slots:u32", "idsOffset:u32", "historyOffset:u32", "countOffset:u32"],
    workgroup: WORKGROUP,
    declarations: beforeCode,
    body: `
  let slot = u32(count[p.countOffset]) % p.slots;
  for (var row = lane; row < p.batch; row += ${WORKGROUP}u) {
    var value = 0.0;
    var id = ${NONE};
    for (var i = row * p.parts; i < (row + 1u) * p.parts; i++) {
      let other = bitcast<f32>(best[2u * i]);
      if (isBefore(other, best[2u * i + 1u], value, id)) { value = other; id = best[2u * i + 1u]; }
    }
    let isToken = id < ${INVALID};
    ids[p.idsOffset + row] = select(0, i32(id), isToken);
    history[p.historyOffset + slot * p.batch + row] = select(-1, i32(id), isToken);
  }
  storageBarrier();
  if (lane == 0u) { count[p.countOffset] += 1; }`,
  }));

const likeliestToken: WebgpuKernel = (context, { inputs, axes }) => {
  const [logits, ids, history, count] = [inputs["logits"]!, inputs["ids"]!, inputs["history"]!, inputs["count"]!];
  const { batch, vocab, slots } = axes as Record<"batch" | "vocab" | "slots", number>;
  const parts = Math.ceil(vocab / PART);
  const best = context.scratch(8 * batch * parts);
  const from = { vocab, parts, logitsOffset: logits.offset, logitsRow: logits.strides[0]! };
  context.dispatch(partsProgram(), [logits, best], from, batch * parts);
  const to = { batch, parts, slots, idsOffset: ids.offset, historyOffset: history.offset, countOffset: count.offset };
  context.dispatch(chooseProgram(), [best, ids, history, count], to, 1);
};

/** WebGPU kernels of this folder. */
export const likeliestTokenWebgpu = { likeliestToken } as const satisfies Record<string, WebgpuKernel>;
