import type { HubFile } from "#platform";

/** How far a pull is. */
export interface HubProgress {
  /** the file that is arriving or has just arrived */
  file: string;
  /** bytes of all files that are there, from this pull or an earlier one; never falls */
  loadedBytes: number;
  /** bytes of all files together */
  totalBytes: number;
  /** number of files */
  files: number;
  /** number of files that are whole and checked */
  filesDone: number;
}

/** Adds up the progress of a pull's files, one after another. */
export class HubProgressReporter {
  readonly #listener: ((event: HubProgress) => void) | undefined;
  readonly #files: number;
  readonly #totalBytes: number;
  #doneBytes = 0;
  #loadedBytes = 0;
  #filesDone = 0;

  constructor(files: readonly HubFile[], listener: ((event: HubProgress) => void) | undefined) {
    this.#listener = listener;
    this.#files = files.length;
    this.#totalBytes = files.reduce((sum, file) => sum + file.blob.byteLength, 0);
  }

  /** @param byteLength - bytes of the current file that have arrived */
  onBytes(file: HubFile, byteLength: number): void {
    // A file that starts again from zero after a bad hash must not make the bar run backwards.
    this.#loadedBytes = Math.max(this.#loadedBytes, this.#doneBytes + byteLength);
    this.#emit(file);
  }

  onDone(file: HubFile): void {
    this.#doneBytes += file.blob.byteLength;
    this.#loadedBytes = this.#doneBytes;
    this.#filesDone += 1;
    this.#emit(file);
  }

  #emit(file: HubFile): void {
    this.#listener?.({
      file: file.path,
      loadedBytes: this.#loadedBytes,
      totalBytes: this.#totalBytes,
      files: this.#files,
      filesDone: this.#filesDone,
    });
  }
}
