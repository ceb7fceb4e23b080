// Products of matrices in the layouts that training needs: forward and both gradients.
import { matmul } from "mamba.ts/ops";
import { scope } from "mamba.ts/tensor";
import { printKernels, timeKernels, uniform } from "./card.mjs";

const layouts = {
  "a b": (a, b) => matmul(a, b),
  "a b^T": (a, b) => matmul(a, b, { transposeB: true }),
  "a^T b": (a, b) => matmul(a, b, { transposeA: true }),
};

export async function products(device, { quick, kernels }) {
  const rows = [];
  const sizes = quick
    ? [[64, 64, 64]]
    : [
        [4096, 4096, 4096],
        [16384, 768, 3072],
        [16384, 1536, 768],
        [16384, 1536, 80],
        [16384, 48, 1536],
        [3072, 16384, 768],
        [768, 16384, 1536],
      ];
  for (const [m, k, n] of sizes) {
    const a = { plain: uniform(device, [m, k]), turned: uniform(device, [k, m]) };
    const b = { plain: uniform(device, [k, n]), turned: uniform(device, [n, k]) };
    for (const precision of ["float32", "float16"]) {
      device.matmulPrecision = precision;
      for (const [name, run] of Object.entries(layouts)) {
        const sides = [name.startsWith("a^T") ? a.turned : a.plain, name.endsWith("b^T") ? b.turned : b.plain];
        const { milliseconds, kernels: made } = await timeKernels(
          device,
          () => scope(() => void run(...sides)),
          quick ? 1 : 9,
        );
        const teraflops = (2 * m * n * k) / milliseconds / 1e9;
        rows.push({ m, k, n, precision, layout: name, milliseconds, teraflops });
        console.log(
          `${name} ${m}x${k}x${n} ${precision}: ${milliseconds.toFixed(3)} ms, ${teraflops.toFixed(1)} TFLOP/s`,
        );
        if (kernels) printKernels(made, 3);
      }
    }
    device.matmulPrecision = "float32";
    for (const one of [...Object.values(a), ...Object.values(b)]) one.dispose();
  }
  return rows;
}
