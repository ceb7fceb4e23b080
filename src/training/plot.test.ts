import { describe, expect, it } from "vitest";
import { layoutPlot, type Plot, sparkline, ticks } from "./plot.ts";
import { encodePng, plotPng } from "./plot-png.ts";
import { plotSvg } from "./plot-svg.ts";

const plot: Plot = {
  title: "loss <of> a run",
  xLabel: "step",
  yLabel: "loss",
  lines: [
    { name: "training", points: Array.from({ length: 5000 }, (_, x) => ({ x, y: 3 * Math.exp(-x / 900) })) },
    {
      name: "validation",
      points: [
        { x: 2000, y: 1 },
        { x: 2500, y: Number.NaN },
        { x: 4000, y: 0.5 },
      ],
    },
  ],
};

/** Red, green and blue of an image, by the PNG of Node's own inflate. */
async function decodePng(bytes: Uint8Array): Promise<{ width: number; height: number; rows: Uint8Array }> {
  const { crc32, inflateSync } = await import("node:zlib");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data: Uint8Array[] = [];
  for (let at = 8; at < bytes.length; ) {
    const size = view.getUint32(at);
    const type = new TextDecoder().decode(bytes.subarray(at + 4, at + 8));
    expect(view.getUint32(at + 8 + size)).toBe(crc32(bytes.subarray(at + 4, at + 8 + size)));
    if (type === "IDAT") data.push(bytes.subarray(at + 8, at + 8 + size));
    at += 12 + size;
  }
  return { width: view.getUint32(16), height: view.getUint32(20), rows: inflateSync(Buffer.concat(data)) };
}

describe("sparkline", () => {
  it("goes from the lowest to the highest mean, in as many characters as fit", () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe("▁▂▃▄▅▆▇█");
    expect(sparkline([8, 8, 0, 0], 2)).toBe("█▁");
    expect(sparkline([1, 1, 1], 10)).toBe("▁▁▁");
    expect(sparkline([1, Number.NaN, 2], 10)).toBe("▁█");
    expect(sparkline([], 10)).toBe("");
  });
});

describe("a plot", () => {
  it("has round ticks within its range", () => {
    expect(ticks(0, 10, 5)).toEqual([0, 2, 4, 6, 8, 10]);
    expect(ticks(0.13, 0.31, 6)).toEqual([0.15, 0.2, 0.25, 0.3]);
    expect(ticks(-1, 1, 4)).toEqual([-1, -0.5, 0, 0.5, 1]);
  });

  it("keeps the extremes of long lines and leaves out what is not finite", () => {
    const { paths, left, right, top, bottom } = layoutPlot(plot);
    const [training, validation] = [paths[0]!.points, paths[1]!.points];
    expect(training.length).toBeLessThanOrEqual(1200);
    expect(training[0]).toEqual([left, top]);
    expect(training.at(-1)).toEqual([right, bottom]);
    expect(validation).toHaveLength(2);
  });

  it("is an SVG document with escaped text", () => {
    const svg = plotSvg(plot);
    expect(svg).toContain("loss &lt;of&gt; a run");
    expect(svg.match(/<polyline/g)).toHaveLength(2);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("stays whole without points and with one", () => {
    for (const points of [
      [],
      [{ x: 3, y: 3 }],
      [
        { x: 0, y: 1 },
        { x: 1, y: 1 },
      ],
    ]) {
      expect(plotSvg({ ...plot, lines: [{ name: "x", points }] })).not.toMatch(/NaN|undefined|Infinity/);
    }
  });

  it("is a PNG image whose pixels and check sums Node's zlib confirms", async () => {
    const pixels = Uint8Array.from({ length: 3 * 5 * 4 }, (_, i) => i);
    const small = await decodePng(await encodePng(5, 4, pixels));
    expect([small.width, small.height]).toEqual([5, 4]);
    for (let y = 0; y < 4; y++) {
      expect(Array.from(small.rows.subarray(y * 16, (y + 1) * 16))).toEqual([
        0,
        ...pixels.subarray(15 * y, 15 * y + 15),
      ]);
    }
    const whole = await decodePng(await plotPng(plot));
    const { left, bottom } = layoutPlot(plot);
    expect([whole.width, whole.height]).toEqual([720, 420]);
    expect(Array.from(whole.rows.subarray(bottom * 2161 + 1 + 3 * left, bottom * 2161 + 4 + 3 * left))).toEqual([
      40, 40, 40,
    ]);
  });
});
