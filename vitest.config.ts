import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { unpackBrowser } from "./scripts/browser.mjs";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const browserFolder = process.env["CHROMIUM"] ? null : await unpackBrowser();
const executablePath = process.env["CHROMIUM"] ?? (browserFolder ? `${browserFolder}/chromium` : undefined);
const libraries = browserFolder ? { LD_LIBRARY_PATH: browserFolder, FONTCONFIG_PATH: browserFolder } : {};

const provider = playwright({
  launchOptions: {
    executablePath,
    env: { ...process.env, ...libraries } as Record<string, string>,
    // SwiftShader, which device "auto" leaves alone
    args: [
      "--enable-unsafe-webgpu",
      "--use-webgpu-adapter=swiftshader",
      "--no-sandbox",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-sync",
    ],
  },
});

const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** Tests in headless Chromium, on a page that may or may not share memory between threads. */
function inBrowser(
  name: string,
  headers: Record<string, string>,
  folder = "test/browser",
  environment: Readonly<Record<string, string>> = {},
): TestProjectConfiguration {
  return {
    resolve: {
      alias: [
        { find: "#platform", replacement: source("src/platform/browser.ts") },
        // the browser brings its own
        { find: /^.*\/software-gpu\.ts$/, replacement: source("test/browser/webgpu/software-gpu.ts") },
      ],
    },
    server: { headers },
    define: { "process.env": JSON.stringify(environment) },
    test: {
      name,
      include: [`${folder}/*.browser.test.ts`],
      testTimeout: 30_000,
      // after the tests in Node: some hold how long a page is kept busy
      sequence: { groupOrder: 1 },
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider,
        instances: [{ browser: "chromium" }],
      },
    },
  };
}

const nodeTests = ["src/**/*.test.ts", "test/**/*.test.ts"];
/** Files that put other modules in the place of the package's own, and so need a process to themselves. */
const apart = ["src/cli/commands/generate.test.ts", "test/shaders.test.ts"];

/** Tests in Node; files share processes, and with them modules, devices and the shaders that those have compiled. */
function inNode(
  name: string,
  settings: { readonly include: string[]; readonly exclude?: string[]; readonly isolate?: boolean },
): TestProjectConfiguration {
  return {
    resolve: { alias: { "#platform": source("src/platform/node.ts") } },
    test: {
      name,
      pool: "forks",
      isolate: false,
      // where tests leave the choice of a device open, it is the same one with and without a card
      env: { MAMBA_NO_GPU: "1" },
      testTimeout: 120_000,
      hookTimeout: 120_000,
      ...settings,
    },
  };
}

export default defineConfig({
  test: {
    // Vitest would leave a core to itself, which it needs little of
    maxWorkers: availableParallelism(),
    projects: [
      inNode("node", { include: nodeTests, exclude: ["**/*.browser.test.ts", ...apart] }),
      inNode("node-apart", { include: apart, isolate: true }),
      inBrowser("browser", isolation),
      inBrowser("browser-plain", {}),
      inBrowser("browser-webgpu", {}, "test/browser/webgpu", {
        MAMBA_TEST_BACKENDS: "webgpu",
        MAMBA_TEST_CASES: "1",
        MAMBA_TEST_GPU: "system",
      }),
    ],
  },
});
