// Unpacks headless Chromium and SwiftShader (Vulkan on the CPU) out of the npm package @sparticuz/chromium into
// node_modules/.cache/mamba-browser. No download, no system packages; Linux on x64 only, null elsewhere.
import { execFileSync } from "node:child_process";
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { createBrotliDecompress } from "node:zlib";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(root, "node_modules/.cache/mamba-browser");

/** Folder with the executable `chromium` and its libraries. */
export async function unpackBrowser() {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  if (existsSync(join(folder, "chromium"))) return folder;
  const packed = join(dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium")), "../../bin");
  const own = `${folder}.${process.pid}`;
  mkdirSync(own, { recursive: true });
  const decompress = (from, to) =>
    pipeline(
      createReadStream(join(packed, from)),
      createBrotliDecompress(),
      createWriteStream(join(own, to), { mode: 0o755 }),
    );
  await Promise.all([
    decompress("chromium.br", "chromium"),
    decompress("swiftshader.tar.br", "swiftshader.tar"),
    decompress("al2023.tar.br", "libraries.tar"),
    decompress("fonts.tar.br", "fonts.tar"),
  ]);
  for (const [archive, options] of [
    ["swiftshader.tar", []],
    ["libraries.tar", ["--strip-components=1"]],
    ["fonts.tar", []],
  ]) {
    execFileSync("tar", ["xf", join(own, archive), "-C", own, "--no-same-owner", ...options]);
    rmSync(join(own, archive));
  }
  try {
    renameSync(own, folder);
  } catch {
    // somebody else was faster
    rmSync(own, { recursive: true });
  }
  return folder;
}
