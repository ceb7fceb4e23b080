import { ConfigError } from "../tensor/errors.ts";

/**
 * The area under the receiver operating characteristic: how likely a positive example has a higher score than a negative one, ties
 * counting one half.
 *
 *     (sum of the positives' ranks - p (p + 1) / 2) / (p n),  equal scores sharing the mean of their ranks
 *
 * @param scores - any numbers that rise with the belief in label 1
 * @param labels - 1 for the p positives, 0 for the n negatives; as many as scores
 * @returns 0 to 1; 0.5 for scores that tell nothing
 * @throws ConfigError if there is no positive or no negative, a score is NaN, or a label is neither 0 nor 1
 * @see Hanley & McNeil 1982, "The meaning and use of the area under a receiver operating characteristic (ROC) curve"
 */
export function areaUnderRoc(scores: ArrayLike<number>, labels: ArrayLike<number>): number {
  const count = scores.length;
  if (labels.length !== count) fail("there must be a label for each score", `got ${labels.length} for ${count}`);
  for (let i = 0; i < count; i++) {
    if (Number.isNaN(scores[i]!)) fail("scores must be numbers", `score ${i} is NaN`);
    if (labels[i] !== 0 && labels[i] !== 1) fail("labels must be 0 or 1", `label ${i} is ${labels[i]}`);
  }
  const order = Array.from({ length: count }, (_, i) => i).sort((a, b) => compare(scores[a]!, scores[b]!));
  let positives = 0;
  let rankSum = 0;
  for (let start = 0; start < count; ) {
    let end = start + 1;
    while (end < count && scores[order[end]!] === scores[order[start]!]) end++;
    // ranks start + 1 to end
    const rank = (start + 1 + end) / 2;
    for (const i of order.slice(start, end)) {
      if (labels[i] !== 1) continue;
      positives++;
      rankSum += rank;
    }
    start = end;
  }
  const negatives = count - positives;
  if (positives === 0 || negatives === 0) {
    fail("there must be examples of both labels", `got ${positives} positive and ${negatives} negative`);
  }
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/** Unlike a difference, right for infinities too. */
function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function fail(must: string, came: string): never {
  throw new ConfigError(`areaUnderRoc: ${must}; ${came}; change the input`, { must, came });
}
