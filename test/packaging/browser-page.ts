import { readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { type Browser, chromium } from "playwright";
import { unpackBrowser } from "../../scripts/browser.mjs";
import type { Computed } from "./user-project.ts";

/** Headers that let a page share memory between threads. */
export const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Allows compiling WebAssembly and nothing else: no blobs, no eval, no other origins. */
export const strictPolicy = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'",
};

const contentTypes: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

/** Headless Chromium, the one that vitest.config.ts uses. */
export async function launchBrowser(): Promise<Browser> {
  const folder = process.env["CHROMIUM"] ? null : await unpackBrowser();
  const libraries = folder ? { LD_LIBRARY_PATH: folder, FONTCONFIG_PATH: folder } : {};
  return chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? (folder ? `${folder}/chromium` : undefined),
    env: { ...process.env, ...libraries } as Record<string, string>,
    args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"],
  });
}

/** Serves a folder on 127.0.0.1 with these headers on every file. */
export async function serveFolder(
  folder: string,
  headers: Record<string, string>,
): Promise<{ url: string; server: Server }> {
  const server = createServer(({ url = "/" }, response) => {
    const { pathname } = new URL(url, "http://127.0.0.1");
    if (pathname === "/favicon.ico") return void response.writeHead(204).end();
    const path = join(folder, decodeURIComponent(pathname));
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return void response.writeHead(404).end();
    const type = contentTypes[extname(path)] ?? "application/octet-stream";
    response.writeHead(200, { ...headers, "Content-Type": type }).end(readFileSync(path));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server };
}

/** What a page of the user's came to. */
export interface PageResult {
  readonly computed: Computed;
  readonly isolated: boolean;
  /** Warnings and errors in the console. */
  readonly complaints: string[];
  /** Content security policy violations. */
  readonly violations: string[];
  /** Addresses that the page and its workers asked for. */
  readonly requests: string[];
}

/** Opens a page that puts a promise of {@link Computed} into `globalThis.computed`. */
export async function openPage(browser: Browser, url: string): Promise<PageResult> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const [complaints, requests]: [string[], string[]] = [[], []];
  page.on("console", (message) => {
    if (["warning", "error"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  context.on("request", (request) => requests.push(request.url()));
  await page.addInitScript(() => {
    const found: string[] = [];
    Object.assign(globalThis, { violations: found });
    document.addEventListener("securitypolicyviolation", (event) => {
      found.push(`${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  try {
    await page.goto(url);
    // not waitForFunction: it evaluates strings, which a strict policy forbids
    const result = await page.evaluate(async () => {
      const own = globalThis as unknown as { computed?: Promise<Computed>; violations: string[] };
      for (let i = 0; i < 400 && !own.computed; i++) await new Promise((resolve) => setTimeout(resolve, 25));
      if (!own.computed) throw new Error("the page's module did not run");
      return { computed: await own.computed, isolated: crossOriginIsolated, violations: own.violations };
    });
    return { ...result, complaints, requests };
  } catch (error) {
    throw new Error(`${String(error)}\n${complaints.join("\n")}`);
  } finally {
    await context.close();
  }
}
