/** Red, green, blue, each 0 to 255. */
export type Colour = readonly [number, number, number];

// five rows of three pixels each, from the top, as octal digits
const glyphs: Readonly<Record<string, string>> = {
  0: "75557",
  1: "26227",
  2: "71747",
  3: "71717",
  4: "55711",
  5: "74717",
  6: "74757",
  7: "71122",
  8: "75757",
  9: "75717",
  a: "25755",
  b: "65656",
  c: "34443",
  d: "65556",
  e: "74647",
  f: "74644",
  g: "34553",
  h: "55755",
  i: "72227",
  j: "11152",
  k: "55655",
  l: "44447",
  m: "57755",
  n: "65555",
  o: "25552",
  p: "65644",
  q: "25563",
  r: "65655",
  s: "34216",
  t: "72222",
  u: "55557",
  v: "55552",
  w: "55775",
  x: "55255",
  y: "55222",
  z: "71247",
  "-": "00700",
  ".": "00002",
  ",": "00024",
  ":": "02020",
  "/": "11244",
  "(": "24442",
  ")": "21112",
  "+": "02720",
  _: "00007",
  " ": "00000",
};
const SCALE = 2;
const ADVANCE = 4 * SCALE;

/** An image in memory, white at first. */
export class Canvas {
  readonly width: number;
  readonly height: number;
  /** Row by row, 3 bytes a pixel. */
  readonly pixels: Uint8Array;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.pixels = new Uint8Array(3 * width * height).fill(255);
  }

  /** A straight line one pixel wide, both ends included. */
  line(x0: number, y0: number, x1: number, y1: number, colour: Colour): void {
    const steps = Math.max(1, Math.ceil(Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0))));
    for (let i = 0; i <= steps; i++) {
      this.#set(Math.round(x0 + ((x1 - x0) * i) / steps), Math.round(y0 + ((y1 - y0) * i) / steps), colour);
    }
  }

  /** One line of text in small letters, 10 pixels high; characters without a form are left blank. */
  text(text: string, x: number, y: number, colour: Colour, anchor: "start" | "middle" | "end"): void {
    const width = text.length * ADVANCE;
    const left = Math.round(anchor === "start" ? x : anchor === "middle" ? x - width / 2 : x - width);
    for (const [i, character] of [...text.toLowerCase()].entries()) {
      this.#glyph(glyphs[character] ?? glyphs[" "]!, left + i * ADVANCE, Math.round(y), colour);
    }
  }

  #glyph(rows: string, left: number, top: number, colour: Colour): void {
    for (let y = 0; y < 5 * SCALE; y++) {
      const bits = Number(rows[Math.floor(y / SCALE)]);
      for (let x = 0; x < 3 * SCALE; x++) {
        if ((bits >> (2 - Math.floor(x / SCALE))) & 1) this.#set(left + x, top + y, colour);
      }
    }
  }

  #set(x: number, y: number, colour: Colour): void {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return;
    this.pixels.set(colour, 3 * (y * this.width + x));
  }
}
