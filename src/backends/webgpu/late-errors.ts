import { DeviceError, type MambaError, OutOfMemoryError } from "../../tensor/errors.ts";

/** What was being made when something went wrong. */
export interface Cause {
  readonly op?: string;
  readonly program?: string;
  /** Bytes asked for. */
  readonly byteLength?: number;
}

/**
 * Errors that a device reports after the call that led to them. The first one is kept until somebody reads; one that a scope caught
 * is told before those that merely follow from it.
 */
export class LateErrors {
  /** Bytes that are in use. */
  used: () => number = () => 0;
  /** What a message of the device is about, where no scope tells. */
  causeOf: (message: string) => Cause = () => ({});
  readonly #device: GPUDevice;
  readonly #pending = new Set<Promise<void>>();
  #caught: MambaError | undefined;
  #uncaught: MambaError | undefined;

  constructor(device: GPUDevice) {
    this.#device = device;
    device.onuncapturederror = (event) => {
      event.preventDefault();
      const { error } = event;
      this.#uncaught ??= this.#errorOf(error, this.causeOf(error.message));
    };
  }

  /**
   * Runs f in an error scope.
   *
   * @param onError - called, later, if there was an error
   */
  guard<T>(filter: GPUErrorFilter, cause: Cause, f: () => T, onError: (made: T) => void): T {
    this.#device.pushErrorScope(filter);
    const made = f();
    const settled = this.#device.popErrorScope().then(
      (error) => {
        if (error) {
          this.#caught ??= this.#errorOf(error, cause);
          onError(made);
        }
      },
      // the device is lost, which is told elsewhere
      () => {},
    );
    this.#pending.add(settled);
    void settled.then(() => this.#pending.delete(settled));
    return made;
  }

  /** The first error of what was enqueued so far, once. */
  async take(): Promise<MambaError | undefined> {
    if (this.#pending.size > 0) await Promise.all(this.#pending);
    const error = this.#caught ?? this.#uncaught;
    this.#caught = undefined;
    this.#uncaught = undefined;
    return error;
  }

  /** The error for a call of the device that failed. */
  refused(cause: unknown): DeviceError {
    const message = cause instanceof Error ? cause.message.trim() : String(cause);
    return new DeviceError(`webgpu: the device must take a command; it refused; ${message}; please report this`, {
      message,
    });
  }

  #errorOf(error: GPUError, cause: Cause): MambaError {
    const { op, program, byteLength } = cause;
    const message = error.message.trim();
    const where = op ? `${op} on webgpu` : "webgpu";
    if (/out.?of.?memory/i.test(error.constructor.name) || /out of memory/i.test(message)) {
      const used = this.used();
      const asked = byteLength === undefined ? "a buffer" : `${byteLength} bytes`;
      return new OutOfMemoryError(
        `${where}: the device must have room for ${asked}; ${used} bytes are in use; ${message}; use a smaller batch`,
        { ...cause, used, message },
      );
    }
    const refused = program ? `program "${program}"` : "a command";
    return new DeviceError(`${where}: the device must take ${refused}; it refused; ${message}; please report this`, {
      ...cause,
      message,
    });
  }
}
