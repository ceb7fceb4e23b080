/**
 * Content of a `tokenizer.json` whose ids are the bytes of UTF-8, 0 to 255, for models that are trained without a tokenizer:
 * a byte-level BPE without merges, so that other programs read it too.
 *
 * Each byte is named by a printable character, as byte-level BPE does it: printable bytes of Latin-1 by themselves, the others by
 * characters from U+0100 on, in order.
 *
 * @see Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.2
 */
export function byteTokenizerFile(): Record<string, unknown> {
  let next = 0x100;
  const vocab: Record<string, number> = {};
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    vocab[String.fromCharCode(isPrintable ? byte : next++)] = byte;
  }
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges: [],
    },
  };
}
