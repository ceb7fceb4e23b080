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

/** What a {@link WindowStreamDecoder} must know of a tokenizer. */
export interface WindowDecoding {
  /** Text of ids. */
  readonly decode: (ids: readonly number[]) => string;
  /** Whether an id is left out of text, as special tokens are. */
  readonly skips: (id: number) => boolean;
  /** The byte that a token such as `<0xE2>` stands for; left out where the vocabulary has no such tokens. */
  readonly byteOf?: (id: number) => number | undefined;
}

/** Ids that are decoded together, so that a token's text can depend on those before it. */
const CONTEXT = 6;
/** Ids after which text is given out even if it ends in U+FFFD: no character has more bytes. */
const LONGEST = 8;

/**
 * For any other tokenizer: decodes a short window of ids again and again, and gives out what the newest id adds.
 */
export class WindowStreamDecoder implements StreamDecoder {
  readonly #decoding: WindowDecoding;
  #ids: number[] = [];
  #given = 0;

  constructor(decoding: WindowDecoding) {
    this.#decoding = decoding;
  }

  push(id: number): string {
    if (this.#decoding.skips(id)) return "";
    this.#ids.push(id);
    return this.#give(this.#ids.length - this.#uncertain());
  }

  flush(): string {
    const rest = this.#give(this.#ids.length);
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

  /** Ids at the end that are part of a character which is not complete. */
  #uncertain(): number {
    const { decode, byteOf } = this.#decoding;
    if (byteOf) return incompleteBytes(trailingBytes(this.#ids, byteOf));
    // without byte tokens, text that ends in U+FFFD may be half of a character
    const waiting = this.#ids.length - this.#given;
    return waiting < LONGEST && decode(this.#ids).endsWith("\uFFFD") ? waiting : 0;
  }

  /** Text of the first `certain` ids that has not been given out. */
  #give(certain: number): string {
    if (certain <= this.#given) return "";
    const { decode } = this.#decoding;
    const before = decode(this.#ids.slice(0, this.#given));
    const text = decode(this.#ids.slice(0, certain)).slice(before.length);
    const spare = Math.max(0, certain - CONTEXT);
    this.#ids.splice(0, spare);
    this.#given = certain - spare;
    return text;
  }
}

/** The bytes of the last ids that are bytes, at most three of them. */
function trailingBytes(ids: readonly number[], byteOf: (id: number) => number | undefined): number[] {
  const bytes: number[] = [];
  for (const id of ids.slice(-3).reverse()) {
    const byte = byteOf(id);
    if (byte === undefined) break;
    bytes.unshift(byte);
  }
  return bytes;
}
