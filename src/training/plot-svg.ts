import { layoutPlot, lineColours, type Plot, type PlotLayout } from "./plot.ts";

/** A plot as an SVG document. */
export function plotSvg(plot: Plot): string {
  const layout = layoutPlot(plot);
  const { width, height, left, right, top, bottom } = layout;
  const middle = (left + right) / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${left}" y="20" font-size="14">${escaped(plot.title)}</text>`,
    ...axes(layout),
    `<text x="${middle}" y="${height - 8}" text-anchor="middle">${escaped(plot.xLabel)}</text>`,
    `<text x="14" y="${(top + bottom) / 2}" text-anchor="middle" transform="rotate(-90 14 ${(top + bottom) / 2})">${escaped(plot.yLabel)}</text>`,
    ...layout.paths.flatMap(({ name, points }, i) => line(name, points, i, layout)),
    "</svg>\n",
  ].join("\n");
}

function axes({ left, right, top, bottom, xTicks, yTicks }: PlotLayout): string[] {
  return [
    ...yTicks.flatMap(({ at, label }) => [
      `<path d="M${left} ${fixed(at)}H${right}" stroke="#e4e4e4"/>`,
      `<text x="${left - 6}" y="${fixed(at + 4)}" text-anchor="end">${label}</text>`,
    ]),
    ...xTicks.map(({ at, label }) => `<text x="${fixed(at)}" y="${bottom + 16}" text-anchor="middle">${label}</text>`),
    `<path d="M${left} ${top}V${bottom}H${right}" fill="none" stroke="#444"/>`,
  ];
}

function line(name: string, points: readonly (readonly [number, number])[], i: number, layout: PlotLayout): string[] {
  const colour = `rgb(${lineColours[i % lineColours.length]!.join(",")})`;
  const path = points.map(([x, y]) => `${fixed(x)},${fixed(y)}`).join(" ");
  const y = layout.top - 6;
  const x = layout.right - 130 * (layout.paths.length - i);
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.5" stroke-linejoin="round"/>`,
    ...(points.length === 1
      ? [`<circle cx="${fixed(points[0]![0])}" cy="${fixed(points[0]![1])}" r="3" fill="${colour}"/>`]
      : []),
    `<text x="${x}" y="${y}" fill="${colour}">${escaped(name)}</text>`,
  ];
}

function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}
