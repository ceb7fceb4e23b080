import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { streamOf } from "../random/reference.ts";

const dropout: ReferenceKernel = (context) => {
  const { input, output, axes, params } = context;
  const [outer, middle, inner] = [axes["outer"]!, axes["middle"]!, axes["inner"]!];
  const [x, y] = [input("x"), output("y")];
  const random = streamOf(context);
  const factors = new Float64Array(inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      factors[i] = random.word() >>> 8 >= (params["threshold"] as number) ? (params["scale"] as number) : 0;
    }
    for (let at = o * middle * inner; at < (o + 1) * middle * inner; at++) {
      const factor = factors[at % inner]!;
      // not a product with 0, which keeps NaN
      y[at] = factor === 0 ? 0 : x[at]! * factor;
    }
  }
};

/** Reference kernels of this folder. */
export const dropoutReference = { dropout } as const satisfies Record<string, ReferenceKernel>;
