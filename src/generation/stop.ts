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
   * @returns text that cannot be part of a stop string any more; or, once one is complete, the text before the
   *   earliest one and `stopped`
   */
  push(piece: string): { text: string; stopped: boolean } {
    const text = this.#held + piece;
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#held = "";
      return { text: text.slice(0, Math.min(...found)), stopped: true };
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
