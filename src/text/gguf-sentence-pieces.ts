import { TokenizerError } from "../tensor/errors.ts";
import { tokenKinds, type Vocabulary } from "./gguf-vocabulary.ts";

/** The character that stands for a space. */
const SPACE = "\u2581";

/**
 * A SentencePiece vocabulary with scores as the `tokenizer.json` of a BPE with byte fallback.
 *
 * SentencePiece joins the two neighbours whose union has the highest score, again and again; so the merges are all ways to cut
 * a token into two others, by falling score of the token.
 *
 * @param scores - of each token
 * @param spaced - whether text begins with a space that decoding takes away
 * @throws TokenizerError if scores are missing
 */
export function sentencePieceJson(
  vocabulary: Vocabulary,
  scores: unknown,
  spaced: boolean,
): Readonly<Record<string, unknown>> {
  const { tokens, kinds, ids, added } = vocabulary;
  if (!(scores instanceof Float32Array) || scores.length < tokens.length) {
    throw new TokenizerError(
      `GGUF tokenizer: tokenizer.ggml.scores must have ${tokens.length} numbers; it has not; fetch the file again`,
      { key: "tokenizer.ggml.scores" },
    );
  }
  const unknown = tokens.find((_, id) => kinds[id] === tokenKinds.unknown) ?? null;
  const replace = (from: string, to: string) => ({ type: "Replace", pattern: { String: from }, content: to });
  const normalizers = [...(spaced ? [{ type: "Prepend", prepend: SPACE }] : []), replace(" ", SPACE)];
  const decoders = [replace(SPACE, " "), { type: "ByteFallback" }, { type: "Fuse" }];
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  return {
    version: "1.0",
    added_tokens: added,
    normalizer: { type: "Sequence", normalizers },
    pre_tokenizer: null,
    decoder: { type: "Sequence", decoders: spaced ? [...decoders, strip] : decoders },
    model: {
      type: "BPE",
      unk_token: unknown,
      fuse_unk: true,
      byte_fallback: tokens.some((_, id) => kinds[id] === tokenKinds.byte),
      ignore_merges: false,
      vocab: ids,
      merges: mergesOf(vocabulary, scores),
    },
  };
}

function mergesOf({ tokens, kinds }: Vocabulary, scores: Float32Array): [string, string][] {
  const joinable = (id: number): boolean => kinds[id] === tokenKinds.normal || kinds[id] === tokenKinds.userDefined;
  const ids = new Map(tokens.map((token, id) => [token, id] as const).filter(([, id]) => joinable(id)));
  const order = [...ids.values()].sort((a, b) => scores[b]! - scores[a]! || a - b);
  const merges: [string, string][] = [];
  for (const id of order) {
    const characters = Array.from(tokens[id]!);
    for (let cut = 1; cut < characters.length; cut++) {
      const [left, right] = [characters.slice(0, cut).join(""), characters.slice(cut).join("")];
      if (ids.has(left) && ids.has(right)) merges.push([left, right]);
    }
  }
  return merges;
}
