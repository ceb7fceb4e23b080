/** Time steps between saved states: backward computes the states of one chunk at a time again. */
export const CHUNK = 64;
