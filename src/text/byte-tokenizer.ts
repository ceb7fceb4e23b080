import { TokenizerError } from "../tensor/errors.ts";
import { ByteStreamDecoder } from "./stream-decoder.ts";
import type { ChatMessage, StreamDecoder, Tokenizer } from "./tokenizer.ts";
import { decodeUtf8 } from "./utf8.ts";

const BYTES = 256;

/** Text as the bytes of UTF-8: 256 ids, no vocabulary file, any language. */
export class ByteTokenizer implements Tokenizer {
  readonly vocabSize = BYTES;

  encode(text: string): number[] {
    return Array.from(new TextEncoder().encode(text));
  }

  decode(ids: ArrayLike<number>): string {
    return decodeUtf8(Array.from(ids, byteOf));
  }

  stream(): StreamDecoder {
    return new ByteStreamDecoder((id) => [byteOf(id)]);
  }

  applyChatTemplate(_messages: readonly ChatMessage[]): string {
    throw new TokenizerError(
      "applyChatTemplate: the tokenizer must have a chat template; bytes have none; write the prompt as text",
      {},
    );
  }
}

function byteOf(id: number): number {
  if (Number.isInteger(id) && id >= 0 && id < BYTES) return id;
  throw new TokenizerError(`decode: ids must be bytes, 0 to 255; got ${id}; use the model's own tokenizer`, { id });
}
