import { embedding } from "../ops/embedding/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type InitialiseOptions, normalParameter } from "./initialisers.ts";

/** A table of one vector for each id. */
export class Embedding {
  readonly parameters: { readonly weight: Tensor };

  /** @param parameters.weight - [vocab channels] */
  constructor(parameters: { readonly weight: Tensor }) {
    this.parameters = parameters;
  }

  /** New parameters: normal with the given standard deviation. */
  static create(vocab: number, channels: number, standardDeviation: number, options: InitialiseOptions): Embedding {
    return new Embedding({ weight: normalParameter([vocab, channels], standardDeviation, options) });
  }

  /** @param ids - int32 [...]; @returns [... channels] */
  forward(ids: Tensor): Tensor {
    return embedding(this.parameters.weight, ids);
  }
}
