import {
  type ByteSource,
  openFileSource,
  pathKind,
  removeTemporaries,
  type WriteBytes,
  writeFileAtomically,
} from "#platform";
import { bytesSource } from "../checkpoints/index.ts";

/** Where checkpoints go. A name shows a whole checkpoint at any moment, or none. */
export interface CheckpointStore {
  /** Replaces a checkpoint once `fill` is done; if it throws, the earlier one stays. */
  write(name: string, fill: (write: WriteBytes) => Promise<void>): Promise<void>;
  /** @returns undefined if there is none */
  open(name: string): Promise<ByteSource | undefined>;
}

/** Checkpoints as files of a folder. What a process that was killed left half written is removed. */
export async function folderStore(path: string): Promise<CheckpointStore> {
  await removeTemporaries(path);
  const file = (name: string): string => `${path}/${name}`;
  return {
    write: (name, fill) => writeFileAtomically(file(name), fill),
    open: async (name) => ((await pathKind(file(name))) === "file" ? openFileSource(file(name)) : undefined),
  };
}

/** Checkpoints in memory: for browsers, which may keep the bytes wherever they like. */
export class MemoryStore implements CheckpointStore {
  /** By name. */
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();

  async write(name: string, fill: (write: WriteBytes) => Promise<void>): Promise<void> {
    const parts: Uint8Array[] = [];
    await fill(async (bytes) => {
      parts.push(bytes.slice());
    });
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    this.files.set(name, whole);
  }

  async open(name: string): Promise<ByteSource | undefined> {
    const bytes = this.files.get(name);
    return bytes && bytesSource(name, bytes);
  }
}
