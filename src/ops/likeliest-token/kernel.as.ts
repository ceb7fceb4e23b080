/**
 * The likeliest id of each row, by one thread: a vocabulary is soon looked through.
 * Words: batch, vocab, slots, logits, their row stride in bytes, ids, history, count.
 */
export function likeliestToken(args: usize, thread: i32, threads: i32): void {
  if (thread != 0) return;
  const batch = load<i32>(args);
  const count = <usize>load<u32>(args, 28);
  const slot = load<i32>(count) % load<i32>(args, 8);
  for (let row = 0; row < batch; row++) {
    const logits = <usize>load<u32>(args, 12) + <usize>row * <usize>load<u32>(args, 16);
    const id = likeliest(logits, load<i32>(args, 4));
    store<i32>(<usize>load<u32>(args, 24) + (<usize>(slot * batch + row) << 2), id);
    store<i32>(<usize>load<u32>(args, 20) + (<usize>row << 2), max(id, 0));
  }
  store<i32>(count, load<i32>(count) + 1);
}

/** The first of the largest; -1 where one is NaN or Infinity, or all are -Infinity. */
function likeliest(logits: usize, vocab: i32): i32 {
  let best: i32 = -1;
  let most: f32 = -Infinity;
  for (let id = 0; id < vocab; id++) {
    const logit = load<f32>(logits + (<usize>id << 2));
    if (!(logit < Infinity)) return -1;
    if (logit > most) {
      most = logit;
      best = id;
    }
  }
  return best;
}
