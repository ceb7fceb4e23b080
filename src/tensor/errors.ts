/** Facts that an error carries as fields, beside its message. */
export type ErrorFacts = Readonly<Record<string, unknown>>;

/**
 * The base of every error that mamba.ts throws on purpose.
 *
 * The message reads `where: what must hold; what came instead; what to do`. `code` is stable across
 * versions and meant for programs; `facts` holds the same values as the message, as data.
 */
export class MambaError extends Error {
  readonly code: string;
  readonly facts: ErrorFacts;

  constructor(message: string, code = "MAMBA_ERROR", facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.facts = facts;
  }
}

/** An axis, rank or element count does not fit. */
export class ShapeError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "SHAPE", facts, options);
  }
}

/** A value type does not fit. */
export class DtypeError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "DTYPE", facts, options);
  }
}

/** A device cannot be opened, was lost, or cannot do what was asked. */
export class DeviceError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "DEVICE", facts, options);
  }
}

/** A tensor, state or device was used after `dispose()`. */
export class DisposedError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "DISPOSED", facts, options);
  }
}

/** The device's memory does not hold what was asked for. */
export class OutOfMemoryError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "OUT_OF_MEMORY", facts, options);
  }
}

/** A checkpoint file is damaged, hostile, incomplete or contradicts its configuration. */
export class CheckpointError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "CHECKPOINT", facts, options);
  }
}

/** A file of data to learn from or to be tested on is damaged, cut off, or holds what cannot be. */
export class DataError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "DATA", facts, options);
  }
}

/** A configuration or an option has an unknown key or an impossible value. */
export class ConfigError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "CONFIG", facts, options);
  }
}

/** A tokenizer file cannot be read, or text and ids do not fit it. */
export class TokenizerError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "TOKENIZER", facts, options);
  }
}

/** A model hub did not answer as it should. */
export class HubError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "HUB", facts, options);
  }
}

/** A recurrent state belongs to another model or its bytes are damaged. */
export class StateError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "STATE", facts, options);
  }
}

/** The caller's AbortSignal fired. */
export class AbortError extends MambaError {
  constructor(message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, "ABORTED", facts, options);
  }
}

/** Throws an AbortError if `signal` has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, where: string): void {
  if (signal?.aborted) throw new AbortError(`${where}: aborted by the caller`, {}, { cause: signal.reason });
}

/** Asserts a condition that only a bug of ours can break. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new MambaError(`internal: ${message}; please report this`, "INTERNAL");
}
