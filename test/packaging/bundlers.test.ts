import { rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Browser } from "playwright";
import { build, createServer, type InlineConfig } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import webpack, { type Configuration } from "webpack";
import { isolation, launchBrowser, openPage, type PageResult, serveFolder, strictPolicy } from "./browser-page.ts";
import { expectComputed, makeUserProject, type UserProject } from "./user-project.ts";

let project: UserProject;
let browser: Browser;
const servers: Server[] = [];

/** Pages by what they show; each has a script of its own. */
const pages: Record<string, string> = {
  plain: `import { compute } from "./compute.js";
    globalThis.computed = compute({ threads: 2 });`,
  worker: `import { computeInWorker } from "./in-worker.js";
    globalThis.computed = computeInWorker({ threads: Number(new URL(location.href).searchParams.get("threads")) });`,
  viteUrls: `import { compute } from "./compute.js";
    import { computeInWorker } from "./in-worker.js";
    import url from "mamba.ts/wasm/kernels.wasm?url";
    import workerUrl from "mamba.ts/wasm/worker.js?url";
    const where = location.search === "?own-worker" ? computeInWorker : compute;
    globalThis.computed = where({ threads: 2, wasm: { url, workerUrl } });`,
  viteModule: `import { compute } from "./compute.js";
    import shared from "mamba.ts/wasm/kernels.wasm?url";
    import unshared from "mamba.ts/wasm/kernels-unshared.wasm?url";
    const query = new URL(location.href).searchParams;
    const url = query.get("module") === "shared" ? shared : unshared;
    globalThis.computed = WebAssembly.compileStreaming(fetch(url))
      .then((module) => compute({ threads: Number(query.get("threads")), wasm: { module } }));`,
  webpackUrls: `import { compute } from "./compute.js";
    import { computeInWorker } from "./in-worker.js";
    const url = new URL("mamba.ts/wasm/kernels.wasm", import.meta.url);
    const workerUrl = new URL("mamba.ts/wasm/worker.js", import.meta.url);
    const where = location.search === "?own-worker" ? computeInWorker : compute;
    globalThis.computed = where({ threads: 2, wasm: { url: url.href, workerUrl: workerUrl.href } });`,
};

const inWorker = `export function computeInWorker(options) {
  const worker = new Worker(new URL("./own-worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
    worker.onerror = (event) => reject(new Error(event.message || "the worker did not load"));
    worker.postMessage(options);
  });
}`;

const ownWorker = `import { compute } from "./compute.js";
addEventListener("message", async ({ data: options }) => {
  try {
    postMessage(await compute(options));
  } catch (error) {
    postMessage({ error: String(error) });
  }
});`;

const html = (script: string): string => `<!doctype html><script type="module" src="${script}"></script>`;

beforeAll(async () => {
  browser = await launchBrowser();
  project = makeUserProject();
  project.write("own-worker.js", ownWorker);
  project.write("in-worker.js", inWorker);
  for (const [name, script] of Object.entries(pages)) {
    project.write(`${name}.js`, script);
    project.write(`${name}.html`, html(`/${name}.js`));
  }
});

afterAll(async () => {
  for (const server of servers) server.closeAllConnections();
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  await browser?.close();
  project?.remove();
});

async function open(folder: string, page: string, headers: Record<string, string>): Promise<PageResult> {
  const { url, server } = await serveFolder(join(project.folder, folder), headers);
  servers.push(server);
  return openPage(browser, `${url}${page}`);
}

const viteConfig = (): InlineConfig => ({
  root: project.folder,
  configFile: false,
  logLevel: "silent",
  build: {
    outDir: "vite-build",
    // a strict policy has no data: URLs either
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: ["plain", "worker", "viteUrls", "viteModule"].map((name) => join(project.folder, `${name}.html`)),
    },
  },
  worker: { format: "es" },
});

function runWebpack(): Promise<string[]> {
  const configuration: Configuration = {
    mode: "production",
    context: project.folder,
    entry: { plain: "./plain.js", worker: "./worker.js", webpackUrls: "./webpackUrls.js" },
    output: { path: join(project.folder, "webpack-build"), publicPath: "auto" },
    optimization: { minimize: false },
    performance: false,
    devtool: false,
  };
  return new Promise((resolve, reject) => {
    webpack(configuration, (error, stats) => {
      if (error || !stats) return reject(error);
      const { errors = [], warnings = [] } = stats.toJson({ all: false, errors: true, warnings: true });
      resolve([...errors, ...warnings].map(({ message }) => message));
    });
  });
}

const unsharedWarning = expect.stringMatching(/^mamba\.ts: this page may not share memory between threads/);

/** Pages that both bundlers built, in both kinds of page. */
function describePages(folder: string, urls: string): void {
  it("computes on a pool in an isolated page", async () => {
    const { computed, isolated, complaints } = await open(folder, "plain.html", isolation);
    await expectComputed(computed, "pool");
    expect({ isolated, complaints }).toEqual({ isolated: true, complaints: [] });
  });

  it("computes on one worker elsewhere, and says so", async () => {
    const { computed, isolated, complaints } = await open(folder, "plain.html", {});
    await expectComputed(computed, "worker");
    expect({ isolated, complaints }).toEqual({ isolated: false, complaints: [unsharedWarning] });
  });

  it("computes inside the user's own worker, with workers below it and without", async () => {
    await expectComputed((await open(folder, "worker.html?threads=2", isolation)).computed, "pool");
    await expectComputed((await open(folder, "worker.html?threads=2", {})).computed, "worker");
    await expectComputed((await open(folder, "worker.html?threads=0", isolation)).computed, "caller");
    await expectComputed((await open(folder, "worker.html?threads=0", {})).computed, "caller");
  });

  it.each(["isolated", "plain"])("computes under a strict policy with URLs, in a page that is %s", async (kind) => {
    const headers = { ...strictPolicy, ...(kind === "isolated" ? isolation : {}) };
    const { computed, complaints, violations, requests } = await open(folder, `${urls}.html`, headers);
    await expectComputed(computed, kind === "isolated" ? "pool" : "worker");
    expect(violations).toEqual([]);
    expect(complaints).toEqual(kind === "isolated" ? [] : [unsharedWarning]);
    expect(requests.filter((url) => !url.startsWith("http://127.0.0.1"))).toEqual([]);
    expect(requests.some((url) => /kernels.*\.wasm|\/\w+\.wasm$/.test(url))).toBe(true);
  });

  it("computes under a strict policy inside the user's own worker", async () => {
    const page = `${urls}.html?own-worker`;
    await expectComputed((await open(folder, page, { ...strictPolicy, ...isolation })).computed, "pool");
    await expectComputed((await open(folder, page, strictPolicy)).computed, "worker");
  });

  it("says what to pass where blobs are forbidden, and what to allow where compiling is", async () => {
    await expect(open(folder, "plain.html", { ...strictPolicy, ...isolation })).rejects.toThrow(
      /workers must start.*pass wasm\.workerUrl where blobs are forbidden/,
    );
    const policy = { "Content-Security-Policy": "script-src 'self'" };
    await expect(open(folder, "plain.html", policy)).rejects.toThrow(
      /kernels must compile.*allow 'wasm-unsafe-eval' in script-src/,
    );
  });
}

describe("built by Vite", () => {
  beforeAll(() => build(viteConfig()));
  describePages("vite-build", "viteUrls");

  it.each([0, 2])("takes compiled kernels, with %i threads", async (threads) => {
    const page = (module: string): string => `viteModule.html?module=${module}&threads=${threads}`;
    const shared = await open("vite-build", page("shared"), isolation);
    await expectComputed(shared.computed, threads ? "pool" : "caller");
    const unshared = await open("vite-build", page("unshared"), {});
    await expectComputed(unshared.computed, threads ? "worker" : "caller");
    await expect(open("vite-build", page("shared"), {})).rejects.toThrow(/compiled from kernels-unshared\.wasm/);
    await expect(open("vite-build", page("unshared"), isolation)).rejects.toThrow(/compiled from kernels\.wasm/);
  });
});

describe("built by webpack", () => {
  it("takes the package without errors or warnings", async () => {
    expect(await runWebpack()).toEqual([]);
    for (const name of ["plain", "worker", "webpackUrls"]) {
      project.write(`webpack-build/${name}.html`, html(`/${name}.js`));
    }
  });
  describePages("webpack-build", "webpackUrls");
});

describe("served by Vite for development", () => {
  it("computes from modules as they are, and from URLs", async () => {
    const headers = isolation;
    const server = await createServer({
      ...viteConfig(),
      cacheDir: join(project.folder, ".vite"),
      server: { host: "127.0.0.1", port: 0, headers, ws: false, watch: null },
      optimizeDeps: { entries: ["plain.html", "viteUrls.html"] },
    });
    try {
      await server.listen();
      const url = `http://127.0.0.1:${(server.httpServer!.address() as AddressInfo).port}/`;
      await expectComputed((await openPage(browser, `${url}plain.html`)).computed, "pool");
      await expectComputed((await openPage(browser, `${url}worker.html?threads=2`)).computed, "pool");
      await expectComputed((await openPage(browser, `${url}viteUrls.html`)).computed, "pool");
    } finally {
      await server.close();
      rmSync(join(project.folder, ".vite"), { recursive: true, force: true });
    }
  });
});
