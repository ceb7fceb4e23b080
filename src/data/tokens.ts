import { ConfigError } from "../tensor/errors.ts";

/** Documents as ids, one after another, read by range: a file, memory, or a part of either. */
export interface TokenFile {
  /** Ids are below this. */
  readonly vocabSize: number;
  /** Tokens. */
  readonly length: number;
  /** Where documents begin, rising from 0. */
  readonly documentStarts: ArrayLike<number>;
  /** The ids from `start` up to, not including, `end`, in an array of the caller's own. Reads may overlap in time. */
  read(start: number, end: number): Promise<Int32Array>;
  close(): Promise<void>;
}

/** Largest vocabulary whose ids fit int32. */
export const largestVocabulary = 2 ** 31;

/**
 * Tokens in memory.
 *
 * @param ids - not copied if they are an Int32Array; don't change them
 * @param documentStarts - rising from 0; [0] for a single document
 * @throws ConfigError if an id is not below `vocabSize` or the starts do not rise from 0 within the tokens
 */
export function tokensOf(ids: ArrayLike<number>, documentStarts: ArrayLike<number>, vocabSize: number): TokenFile {
  checkIds("tokensOf", ids, vocabSize);
  const problem = problemOfStarts(documentStarts, ids.length);
  if (problem)
    throw new ConfigError(`tokensOf: ${problem}; change documentStarts`, { documents: documentStarts.length });
  const own = ids instanceof Int32Array ? ids : Int32Array.from(ids);
  return {
    vocabSize,
    length: own.length,
    documentStarts,
    async read(start, end) {
      checkTokenRange("tokensOf", own.length, start, end);
      return own.slice(start, end);
    },
    async close() {},
  };
}

/**
 * Two parts of the same tokens, for training and validation. A document that the cut goes through becomes one of each part.
 * The parts read through `tokens`: close that, and both are closed.
 *
 * @param share - what the last part gets, above 0 and below 1; its size is rounded to a whole token
 * @throws ConfigError if a part would be empty
 */
export function split(tokens: TokenFile, share: number): { first: TokenFile; last: TokenFile } {
  const cut = tokens.length - Math.round(tokens.length * share);
  if (!(share > 0 && share < 1 && cut > 0 && cut < tokens.length)) {
    throw new ConfigError(
      `split: share must be above 0 and below 1 and leave a token on both sides; got ${share} of ${tokens.length} tokens; change it or give more text`,
      { share, tokens: tokens.length },
    );
  }
  return { first: part(tokens, 0, cut), last: part(tokens, cut, tokens.length) };
}

function part(tokens: TokenFile, from: number, to: number): TokenFile {
  const later = Float64Array.from(tokens.documentStarts).filter((start) => start > from && start < to);
  const documentStarts = new Float64Array(later.length + 1);
  later.forEach((start, i) => {
    documentStarts[i + 1] = start - from;
  });
  return {
    vocabSize: tokens.vocabSize,
    length: to - from,
    documentStarts,
    async read(start, end) {
      checkTokenRange("split", to - from, start, end);
      return tokens.read(from + start, from + end);
    },
    async close() {},
  };
}

/** Throws unless every id is a whole number from 0 to `vocabSize` - 1. */
export function checkIds(where: string, ids: ArrayLike<number>, vocabSize: number): void {
  if (!Number.isSafeInteger(vocabSize) || vocabSize < 1 || vocabSize > largestVocabulary) {
    throw new ConfigError(
      `${where}: vocabSize must be a whole number from 1 to ${largestVocabulary}; got ${vocabSize}; change it`,
      { vocabSize },
    );
  }
  const place = placeOfStranger(ids, vocabSize);
  if (place < 0) return;
  throw new ConfigError(
    `${where}: ids must be whole numbers from 0 to ${vocabSize - 1}; got ${ids[place]} at ${place}; use the tokenizer that the vocabulary belongs to`,
    { id: ids[place], place, vocabSize },
  );
}

/** The place of the first id that is not of the vocabulary, or -1. */
export function placeOfStranger(ids: ArrayLike<number>, vocabSize: number): number {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!(id >= 0 && id < vocabSize && Number.isInteger(id))) return i;
  }
  return -1;
}

/** What is wrong with the starts of documents of `length` tokens. */
export function problemOfStarts(starts: ArrayLike<number>, length: number): string | undefined {
  if (starts.length === 0) return length > 0 ? `documents must begin at 0; got none in ${length} tokens` : undefined;
  if (starts[0] !== 0) return `the first document must begin at 0; it begins at ${starts[0]}`;
  for (let i = 0; i < starts.length; i++) {
    const end = i + 1 < starts.length ? starts[i + 1]! : length;
    if (Number.isSafeInteger(end) && end > starts[i]!) continue;
    return `documents must hold a token at least; document ${i} is from ${starts[i]} to ${end}`;
  }
  return undefined;
}

/** Throws unless `start` to `end` lies within `length` tokens. */
export function checkTokenRange(where: string, length: number, start: number, end: number): void {
  const fits = Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= length;
  if (fits) return;
  throw new ConfigError(`${where}: tokens ${start} to ${end} must lie within its ${length} tokens; read less`, {
    start,
    end,
    length,
  });
}
