// What one thread of WebAssembly reaches on this machine: multiply-adds in registers, products of bytes, reading memory.
// Compiled by AssemblyScript when it runs; relaxed SIMD where the engine has it.
import asc from "assemblyscript/asc";

const range = (n) => Array.from({ length: n }, (_, i) => i);
const lines = (text, n = 10) => range(n).map(text).join("\n");

/** Ten sums, so that every step of a chain is done before the next begins. */
function source(relaxed) {
  const step = relaxed
    ? (i) => `c${i} = f32x4.relaxed_madd(a, c${i}, b);`
    : (i) => `c${i} = f32x4.add(f32x4.mul(a, c${i}), b);`;
  const bytes = relaxed
    ? (i) => `c${i} = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c${i});`
    : (i) => `c${i} = i32x4.add(c${i}, i32x4.dot_i16x8_s(a, b));`;
  const loop = (name, body) => `
export function ${name}(count: i32): f32 {
  const a = v128.load(64);
  const b = v128.load(80);
  ${lines((i) => `let c${i} = v128.load(${96 + 16 * i});`)}
  do { ${lines(body)} } while (--count > 0);
  ${lines((i) => (i === 0 ? "let sum = c0;" : `sum = v128.xor(sum, c${i});`))}
  return f32x4.extract_lane(sum, 0);
}`;
  return `${loop("madds", step)}${loop("products", bytes)}
export function read(from: usize, bytes: usize): f32 {
  ${lines((i) => `let c${i} = i32x4.splat(0);`, 8)}
  const end = from + bytes;
  do {
    ${lines((i) => `c${i} = v128.xor(c${i}, v128.load(from, ${16 * i}));`, 8)}
    from += 128;
  } while (from < end);
  ${lines((i) => (i === 0 ? "let sum = c0;" : `sum = v128.xor(sum, c${i});`), 8)}
  return f32x4.extract_lane(sum, 0);
}`;
}

async function compile(relaxed) {
  const text = source(relaxed);
  const flags = ["--runtime", "stub", "-O3", "--initialMemory", "2048", "--enable", "simd"];
  const { error, binary, stderr } = await asc.main(
    ["ceilings.ts", "-o", "ceilings.wasm", ...flags, ...(relaxed ? ["--enable", "relaxed-simd"] : [])],
    {
      readFile: (name) => (name === "ceilings.ts" ? text : null),
      writeFile: (name, bytes) => {
        written = name.endsWith(".wasm") ? bytes : written;
      },
    },
  );
  if (error) throw new Error(`ceilings: does not compile\n${stderr}`);
  return binary ?? written;
}

let written;

/** Fastest of the runs, in seconds. */
function fastest(run, runs = 12) {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    run();
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  return best;
}

/** GFLOP/s, Gop/s of bytes, and GB/s from memory and from the caches. */
export async function measureCeilings() {
  let bytes = await compile(true);
  const relaxed = WebAssembly.validate(bytes);
  if (!relaxed) bytes = await compile(false);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { abort() {} } });
  const count = 2_000_000;
  const area = 96 * 2 ** 20;
  const near = 16 * 2 ** 10;
  const perProduct = relaxed ? 32 : 16;
  const readNear = () => {
    for (let i = 0; i < 2000; i++) exports.read(65_536, near);
  };
  return {
    relaxed,
    gflops: (count * 10 * 8) / fastest(() => exports.madds(count)) / 1e9,
    byteGops: (count * 10 * perProduct) / fastest(() => exports.products(count)) / 1e9,
    memoryGBs: area / fastest(() => exports.read(65_536, area)) / 1e9,
    cacheGBs: (near * 2000) / fastest(readNear) / 1e9,
  };
}
