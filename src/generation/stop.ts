/** Finds stop strings in a text that comes in pieces. */
export class StopMatcher {
  readonly #stops: readonly string[];
  #held = "";

  /** @param stops - strings that end the text; none of them empty */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /**
   * Takes a piece.
   *
   * The stop string that is complete first ends the text, the longest of those that are complete at once; so it
   * makes no difference how the text is cut into pieces.
   *
   * @returns text that cannot be part of a stop string any more; or, once one is complete, the text before it and
   *   `stopped`
   */
  push(piece: string): { text: string; stopped: boolean } {
    const text = this.#held + piece;
    let first: { start: number; end: number } | undefined;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop);
      const end = start + stop.length;
      if (start < 0) continue;
      if (!first || end < first.end || (end === first.end && start < first.start)) first = { start, end };
    }
    if (first) {
      this.#held = "";
      return { text: text.slice(0, first.start), stopped: true };
    }
    const certain = text.length - this.#beginnings(text);
    this.#held = text.slice(certain);
    return { text: text.slice(0, certain), stopped: false };
  }

  /** What was held back; then nothing is. */
  flush(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }

  /** Length of the longest end of `text` that begins a stop string. */
  #beginnings(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
