import type { StreamDecoder, StreamSnapshot } from "./tokenizer.ts";
import { decodeUtf8, incompleteBytes } from "./utf8.ts";

/** Bytes that a token stands for, or text that stands alone (a special token); undefined for nothing. */
export type TokenBytes = (id: number) => readonly number[] | string | undefined;

/** For tokenizers whose tokens are bytes: holds back at most three. */
export class ByteStreamDecoder implements StreamDecoder {
  readonly #bytesOf: TokenBytes;
  #held: number[] = [];

  constructor(bytesOf: TokenBytes) {
    this.#bytesOf = bytesOf;
  }

  push(id: number): string {
    const piece = this.#bytesOf(id);
    if (piece === undefined) return "";
    if (typeof piece === "string") return this.flush() + piece;
    const bytes = [...this.#held, ...piece];
    const certain = bytes.length - incompleteBytes(bytes);
    this.#held = bytes.slice(certain);
    return decodeUtf8(bytes.slice(0, certain));
  }

  flush(): string {
    const text = decodeUtf8(this.#held);
    this.#held = [];
    return text;
  }

  snapshot(): StreamSnapshot {
    return { held: [...this.#held], given: 0 };
  }

  restore({ held }: StreamSnapshot): void {
    this.#held = [...held];
  }
}

/** Ids that are decoded together, so that a token's text can depend on those before it. */
const CONTEXT = 6;
/** Ids after which text is given out even if it ends in U+FFFD: no character has more bytes. */
const LONGEST = 8;

/**
 * For any other tokenizer: decodes a short window of ids again and again, and gives out what the newest id adds.
 */
export class WindowStreamDecoder implements StreamDecoder {
  readonly #decode: (ids: readonly number[]) => string;
  #ids: number[] = [];
  #given = 0;

  constructor(decode: (ids: readonly number[]) => string) {
    this.#decode = decode;
  }

  push(id: number): string {
    this.#ids.push(id);
    const before = this.#decode(this.#ids.slice(0, this.#given));
    const after = this.#decode(this.#ids);
    const waiting = after.endsWith("\uFFFD") && this.#ids.length - this.#given < LONGEST;
    if (waiting) return "";
    this.#given = this.#ids.length;
    this.#trim();
    return after.slice(before.length);
  }

  flush(): string {
    const before = this.#decode(this.#ids.slice(0, this.#given));
    const rest = this.#decode(this.#ids).slice(before.length);
    this.#ids = [];
    this.#given = 0;
    return rest;
  }

  snapshot(): StreamSnapshot {
    return { held: [...this.#ids], given: this.#given };
  }

  restore({ held, given }: StreamSnapshot): void {
    this.#ids = [...held];
    this.#given = given;
  }

  #trim(): void {
    const spare = this.#given - CONTEXT;
    if (spare <= 0) return;
    this.#ids.splice(0, spare);
    this.#given -= spare;
  }
}
