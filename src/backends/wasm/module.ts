import { enableRelaxedSimd, fetchResource } from "#platform";
import { DeviceError } from "../../tensor/errors.ts";
import { FIRST_SLOT } from "./control.ts";
import { kernelNames, plainModules, relaxedModules } from "./generated/kernels.ts";

/** Compiled kernels and which instructions they use. */
export interface CompiledKernels {
  readonly modules: readonly WebAssembly.Module[];
  readonly relaxed: boolean;
  /** Whether kernels may multiply whole bytes by the relaxed dot product. */
  readonly dot: boolean;
}

/** Place in the function table by kernel name. */
export const kernelSlots: ReadonlyMap<string, number> = new Map(kernelNames.map((name, i) => [name, FIRST_SLOT + i]));

/** How {@link compileKernels} gets its modules. */
export interface CompileOptions {
  readonly relaxedSimd?: boolean;
  /** Already compiled. */
  readonly module?: WebAssembly.Module | readonly WebAssembly.Module[];
  /** Fetched instead of the modules within the package. */
  readonly url?: string | URL | readonly (string | URL)[];
  /** The memory is not shared between threads. */
  readonly unshared?: boolean;
}

/**
 * Compiles the kernels for the best feature level that the engine takes.
 *
 * @throws DeviceError if the engine has no SIMD, or compiling is forbidden
 */
export async function compileKernels(options: CompileOptions): Promise<CompiledKernels> {
  if (options.module) return { modules: [options.module].flat(), relaxed: false, dot: false };
  const relaxed = !options.url && options.relaxedSimd !== false && enableRelaxedSimd() && validates(relaxedModules[0]!);
  const sources = options.url
    ? await Promise.all([options.url].flat().map(fetchKernels))
    : (relaxed ? relaxedModules : plainModules).map(decodeBase64);
  try {
    const modules = sources.map((bytes) => WebAssembly.compile(options.unshared ? withUnsharedMemory(bytes) : bytes));
    return { modules: await Promise.all(modules), relaxed, dot: relaxed && hasExactDot() };
  } catch (cause) {
    throw new DeviceError(
      `wasm: the kernels must compile; the engine says ${String((cause as Error).message)}; use an engine with WebAssembly SIMD, allow 'wasm-unsafe-eval' in script-src, or pass wasm.module where compiling is forbidden`,
      {},
      { cause },
    );
  }
}

/** `dot(a, b, c)`: c plus four times a b, of bytes a and b, by i32x4.relaxed_dot_i8x16_i7x16_add_s. */
const DOT_MODULE = [
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x08, 0x01, 0x60, 0x03, 0x7f, 0x7f, 0x7f, 0x01, 0x7f],
  ...[0x03, 0x02, 0x01, 0x00, 0x07, 0x07, 0x01, 0x03, 0x64, 0x6f, 0x74, 0x00, 0x00],
  ...[0x0a, 0x16, 0x01, 0x14, 0x00, 0x20, 0x00, 0xfd, 0x0f, 0x20, 0x01, 0xfd, 0x0f, 0x20, 0x02, 0xfd, 0x11],
  ...[0xfd, 0x93, 0x02, 0xfd, 0x1b, 0x00, 0x0b],
];

/**
 * Whether the relaxed dot product takes second factors from 0 to 255 and adds four products without cutting any off, as
 * processors with one instruction for it do. The standard fixes results for second factors up to 127 only, and V8 11 gives wrong
 * ones even there; so it is asked, with values that tell all known ways apart.
 */
function hasExactDot(): boolean {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(DOT_MODULE)));
  const dot = instance.exports["dot"] as (a: number, b: number, c: number) => number;
  const firsts = [-128, -127, -1, 0, 1, 77, 127];
  const seconds = [0, 1, 15, 127, 128, 200, 255];
  return firsts.every((a) => seconds.every((b) => dot(a, b, -70_000) === 4 * a * b - 70_000));
}

async function fetchKernels(url: string | URL): Promise<Uint8Array<ArrayBuffer>> {
  const fail = (came: string, facts: Record<string, unknown>, cause?: unknown): DeviceError =>
    new DeviceError(
      `wasm: ${String(url)} must be served; got ${came}; check wasm.url`,
      { url: String(url), ...facts },
      { cause },
    );
  const response = await fetchResource(url).catch((cause: unknown) => {
    throw fail(String((cause as Error).message), {}, cause);
  });
  if (!response.ok) throw fail(`status ${response.status}`, { status: response.status });
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (WASM_MAGIC.every((byte, i) => bytes[i] === byte)) return bytes;
  throw fail("something that is no WebAssembly module", { byteLength: bytes.length });
}

function validates(base64: string): boolean {
  return WebAssembly.validate(decodeBase64(base64));
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** A module begins with NUL, "asm". */
const WASM_MAGIC = [0, 0x61, 0x73, 0x6d];
const IMPORT_SECTION = 2;
const MEMORY_IMPORT = 2;
const SHARED_FLAG = 2;

/**
 * The same module with an import of plain memory, for pages that may not share memory between threads.
 *
 * Walks the import section of the binary format (WebAssembly core specification, 5.5.5) to the memory's limits
 * and clears the shared bit; atomic instructions work on plain memory too.
 */
export function withUnsharedMemory(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const out = bytes.slice();
  let at = 8;
  const unsigned = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = out[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < out.length) {
    const section = out[at++];
    const size = unsigned();
    if (section !== IMPORT_SECTION) {
      at += size;
      continue;
    }
    for (let count = unsigned(); count > 0; count--) {
      for (let names = 0; names < 2; names++) {
        const length = unsigned();
        at += length;
      }
      if (out[at++] === MEMORY_IMPORT) {
        out[at]! &= ~SHARED_FLAG;
        return out;
      }
      skipImport();
    }
  }
  return out;

  /** A table import: element type, flags, limits. */
  function skipImport(): void {
    if (out[at - 1] === 1) {
      at++;
      const limited = unsigned() & 1;
      unsigned();
      if (limited) unsigned();
    } else if (out[at - 1] === 0) unsigned();
    else at += 2;
  }
}
