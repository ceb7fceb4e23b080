/** A started worker. */
export interface WorkerHandle {
  post(message: unknown): void;
  /** Whether it keeps a Node process alive; it does at first. Nothing in browsers. */
  keepAlive(busy: boolean): void;
  terminate(): void;
}

/** What a worker tells its owner. */
export interface WorkerEvents {
  readonly message: (data: unknown) => void;
  readonly error: (reason: string) => void;
}
