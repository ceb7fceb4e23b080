/**
 * Addresses of the control block at the start of wasm memory; the first part mirrors assembly/control.as.ts.
 *
 * [0, 1024) stays empty so that a null address is seen; [1024, 4096) is this block; [4096, 8192) holds constants;
 * the compiler's own data follows; lists and tensors begin at {@link HEAP_START}.
 */
export const control = {
  abort: 1096,
  barrierSpin: 1100,
  /** Whether the relaxed dot product of bytes is exact for second factors from 0 to 255. */
  dot: 1104,
  errorCode: 1152,
  errorLabel: 1156,
  errorActual: 1160,
  errorExpected: 1164,
  /** Number of the list that workers shall run; they sleep on it. */
  sequence: 1216,
  /** Address of that list; 0 sends them home. */
  list: 1220,
  idleSpin: 1224,
  /** Number of the last list that is done. */
  done: 1280,
} as const;

/** Where lists and tensors begin. */
export const HEAP_START = 65_536;

/** Bytes of a wasm page. */
export const PAGE_BYTES = 65_536;

/** Slot of the function table where kernels begin; the compiler keeps the first ones. */
export const FIRST_SLOT = 16;

/** Loops of a thread at a barrier before it sleeps, about 50 microseconds of compiled code. */
export const BARRIER_SPIN = 150_000;

/** Loops of a worker between lists before it sleeps, about 70 microseconds of JavaScript. */
export const IDLE_SPIN = 5000;
