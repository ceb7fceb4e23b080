import { layoutPlot, lineColours, type Plot } from "./plot.ts";
import { Canvas } from "./plot-canvas.ts";

const black = [40, 40, 40] as const;
const grey = [228, 228, 228] as const;

/** A plot as a PNG file. */
export async function plotPng(plot: Plot): Promise<Uint8Array> {
  const layout = layoutPlot(plot);
  const { width, height, left, right, top, bottom } = layout;
  const canvas = new Canvas(width, height);
  for (const { at, label } of layout.yTicks) {
    canvas.line(left, at, right, at, grey);
    canvas.text(label, left - 6, at - 5, black, "end");
  }
  for (const { at, label } of layout.xTicks) canvas.text(label, at, bottom + 8, black, "middle");
  canvas.line(left, top, left, bottom, black);
  canvas.line(left, bottom, right, bottom, black);
  canvas.text(plot.title, left, 8, black, "start");
  canvas.text(plot.xLabel, (left + right) / 2, height - 16, black, "middle");
  layout.paths.forEach(({ name, points }, i) => {
    const colour = lineColours[i % lineColours.length]!;
    if (points.length === 1) canvas.line(points[0]![0] - 2, points[0]![1], points[0]![0] + 2, points[0]![1], colour);
    for (let j = 1; j < points.length; j++) canvas.line(...points[j - 1]!, ...points[j]!, colour);
    canvas.text(name, right - 130 * (layout.paths.length - i), top - 14, colour, "start");
  });
  return encodePng(canvas.width, canvas.height, canvas.pixels);
}

/**
 * Encodes an image of 8-bit red, green and blue.
 *
 * @param pixels - row by row, 3 bytes a pixel
 * @see PNG specification, third edition, sections 5 and 11.2
 */
export async function encodePng(width: number, height: number, pixels: Uint8Array): Promise<Uint8Array> {
  const rows = new Uint8Array(height * (1 + 3 * width));
  for (let y = 0; y < height; y++) {
    // the byte before each row is its filter: none
    rows.set(pixels.subarray(3 * width * y, 3 * width * (y + 1)), y * (1 + 3 * width) + 1);
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const parts = [
    signature,
    chunk("IHDR", header),
    chunk("IDAT", await deflate(rows)),
    chunk("IEND", new Uint8Array(0)),
  ];
  return concatenated(parts);
}

async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  out.set(new TextEncoder().encode(type), 4);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Check sum of a chunk: reflected polynomial 0xedb88320, ones before and after. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
