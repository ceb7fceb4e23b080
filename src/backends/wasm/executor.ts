import type { Failure } from "./failures.ts";

/** A late error with the number of its label instead of the label. */
export type NumberedFailure = Omit<Failure, "label"> & { readonly label: number };

/** Runs command lists somewhere: with this thread, on a pool of workers, or on one worker without shared memory. */
export interface Executor {
  /** Threads that walk a list. */
  readonly threads: number;
  readonly kind: "caller" | "pool" | "worker";
  /** Number of the last list that is known to be done. */
  readonly doneList: number;
  /** Makes memory reach to a byte address. Throws if it cannot. */
  grow(end: number): void;
  /** Copies bytes in; they must not be touched by lists that are not done. */
  write(address: number, bytes: Uint8Array): void;
  /** Hands over list `number`, which has been written at `address`. */
  submit(number: number, address: number): void;
  /** Copies bytes out when everything submitted is done. */
  read(address: number, byteLength: number): Promise<Uint8Array>;
  /** The first late error since the last call, of lists that are done. */
  takeFailure(): Promise<NumberedFailure | undefined>;
  /** Resolves with the reason if the executor dies. */
  readonly lost: Promise<string>;
  dispose(): void;
}
