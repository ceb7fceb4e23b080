// Rotary position embedding. Every token is turned by one thread alone, with a table of its angles for all rows and heads.
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, nmadd } from "../../backends/wasm/assembly/simd.as";
import { cos, sin } from "../../backends/wasm/assembly/trigonometry.as";

const TURNS_PER_RADIAN: f64 = 0.15915494309189535;
// 2 pi in two parts; products of the first with whole numbers up to 2^20 are exact
const TURN_HIGH: f64 = 6.28318530693650245668;
const TURN_LOW: f64 = 2.43084020260247689973e-10;

/**
 * Cosines, then sines, of the angles of a position; the sines times `sign`. An angle is taken and brought to at most half a turn
 * in float64. Frequencies are powers of `ratio`: their rounding adds less than 1e-15 of the position.
 */
function fillTable(table: usize, half: i32, position: f64, ratio: f64, sign: f32): void {
  let frequency: f64 = 1;
  for (let i = 0; i < half; i++) {
    const angle = position * frequency;
    const turns = nearest<f64>(angle * TURNS_PER_RADIAN);
    store<f32>(table + (<usize>i << 2), <f32>(angle - turns * TURN_HIGH - turns * TURN_LOW));
    frequency *= ratio;
  }
  const bytes = <usize>((half + 3) >> 2) << 4;
  const signs = f32x4.splat(sign);
  for (let at: usize = 0; at < bytes; at += 16) {
    const angles = v128.load(table + at);
    v128.store(table + at, cos(angles));
    v128.store(table + bytes + at, f32x4.mul(sin(angles), signs));
  }
}

/** Turns one head. */
function turn(x: usize, y: usize, half: i32, table: usize): void {
  const sines = table + (<usize>((half + 3) >> 2) << 4);
  const other = <usize>half << 2;
  let i = 0;
  for (; i + 4 <= half; i += 4) {
    const at = <usize>i << 2;
    const c = v128.load(table + at);
    const s = v128.load(sines + at);
    const first = v128.load(x + at);
    const second = v128.load(x + other + at);
    v128.store(y + at, nmadd(second, s, f32x4.mul(first, c)));
    v128.store(y + other + at, madd(first, s, f32x4.mul(second, c)));
  }
  if (i == half) return;
  const at = <usize>i << 2;
  const c = v128.load(table + at);
  const s = v128.load(sines + at);
  const first = loadPartial(x + at, half - i);
  const second = loadPartial(x + other + at, half - i);
  storePartial(y + at, nmadd(second, s, f32x4.mul(first, c)), half - i);
  storePartial(y + other + at, madd(first, s, f32x4.mul(second, c)), half - i);
}

/**
 * Words: batch, length, heads, width, offset (float64), ratio of neighbouring frequencies (float64), sign of the angles,
 * x and its strides of batch, token, head in bytes, y, tables, bytes of a thread's table.
 */
export function rotary(args: usize, thread: i32, threads: i32): void {
  const batch = load<i32>(args);
  const length = load<i32>(args, 4);
  const heads = load<i32>(args, 8);
  const width = load<i32>(args, 12);
  const table = <usize>load<u32>(args, 56) + <usize>thread * load<u32>(args, 60);
  const end = partStart(length, thread + 1, threads);
  for (let token = partStart(length, thread, threads); token < end; token++) {
    fillTable(table, width >> 1, load<f64>(args, 16) + <f64>token, load<f64>(args, 24), load<f32>(args, 32));
    for (let b = 0; b < batch; b++) {
      let x = <usize>load<u32>(args, 36) + <usize>b * load<u32>(args, 40) + <usize>token * load<u32>(args, 44);
      let y = <usize>load<u32>(args, 52) + ((<usize>((b * length + token) * heads) * <usize>width) << 2);
      for (let h = 0; h < heads; h++) {
        turn(x, y, width >> 1, table);
        x += load<u32>(args, 48);
        y += <usize>width << 2;
      }
    }
  }
}
