import type { ReferenceKernel } from "../../backends/reference/index.ts";

const rotary: ReferenceKernel = ({ input, output, axes, params }) => {
  const { batch, length, heads, width } = axes as { batch: number; length: number; heads: number; width: number };
  const [x, y] = [input("x"), output("y")];
  const { offset, base, inverse } = params as { offset: number; base: number; inverse: boolean };
  const half = width / 2;
  for (let row = 0; row < batch * length * heads; row++) {
    const position = offset + (Math.floor(row / heads) % length);
    for (let i = 0; i < half; i++) {
      const angle = position * base ** (-i / half);
      const cos = Math.cos(angle);
      const sin = inverse ? -Math.sin(angle) : Math.sin(angle);
      const [first, second] = [row * width + i, row * width + half + i];
      y[first] = x[first]! * cos - x[second]! * sin;
      y[second] = x[second]! * cos + x[first]! * sin;
    }
  }
};

/** Reference kernels of this folder. */
export const rotaryReference = { rotary } as const satisfies Record<string, ReferenceKernel>;
