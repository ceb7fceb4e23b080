/** The word that takes the fewest changes of letters to reach from `word`, for error messages that suggest one. */
export function nearest(word: string, words: readonly string[]): string {
  return words.reduce((best, other) => (distance(word, other) < distance(word, best) ? other : best));
}

/** Letters to insert, remove or change (Levenshtein), ignoring case. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1]!.toLowerCase() === b[j - 1]!.toLowerCase() ? 0 : 1;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + change));
    }
    row = next;
  }
  return row[b.length]!;
}
