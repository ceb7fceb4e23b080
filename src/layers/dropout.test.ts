import { expect, it } from "vitest";
import { openDevice } from "../ops/devices.ts";
import { tensor } from "../tensor/tensor.ts";
import { Dropout } from "./dropout.ts";

it("drops elements, or whole channels, when it is given random numbers, and nothing otherwise", async () => {
  const device = await openDevice("reference");
  const x = tensor(new Float32Array(4 * 50 * 40).fill(1), [4, 50, 40], { device });
  expect(new Dropout(0.5).forward(x)).toBe(x);
  const free = [...(await new Dropout(0.5).forward(x, { seed: 1 }).read())];
  const tied = [...(await new Dropout(0.5, { tied: true }).forward(x, { seed: 1 }).read())];
  const kept = (values: number[]) => values.filter((value) => value === 2).length;
  expect(new Set([...free, ...tied])).toEqual(new Set([0, 2]));
  // 4000 expected of 8000 with a standard deviation of 45; of 160 channels, 80 with one of 6.3
  expect(Math.abs(kept(free) - 4000)).toBeLessThan(4 * 45);
  expect(Math.abs(kept(tied) / 50 - 80)).toBeLessThan(4 * 6.3);
  expect(tied.every((value, at) => value === tied[Math.floor(at / 2000) * 2000 + (at % 40)])).toBe(true);
});
