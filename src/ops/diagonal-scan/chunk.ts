/** Time steps of a chunk: the state at the entry of each is saved for backward. */
export const CHUNK = 32;
