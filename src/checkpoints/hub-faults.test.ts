import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HubSession, noise, startHubSession, tinyModel } from "../../test/kit/hub-session.ts";
import { AbortError, HubError } from "../tensor/errors.ts";
import type { HubProgress } from "./hub.ts";

const ID = "acme/tiny-mamba";
const WEIGHTS = "model.safetensors";
const SIZE = 300_000;

let session: HubSession;

beforeEach(async () => {
  session = await startHubSession();
  session.hub.publish(ID, { files: tinyModel() });
});

afterEach(async () => {
  await session.close();
});

/** Pulls, expecting failure, and gives the error. */
async function failure(options: Parameters<HubSession["pull"]>[1] = {}): Promise<HubError> {
  const error = await session.pull(ID, options).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HubError);
  return error as HubError;
}

async function expectWeights(path: string): Promise<void> {
  expect(new Uint8Array(await readFile(join(path, WEIGHTS)))).toEqual(noise(SIZE));
}

/** Names in the cache that a reader would take for whole files. */
async function visible(): Promise<string[]> {
  return (await session.cacheEntries()).filter((entry) => /snapshots|refs/.test(entry));
}

const ranges = () => session.hub.requests.filter(({ server }) => server === "cdn").map(({ range }) => range);

describe("a download that breaks off", () => {
  it.each(["cut", "stall"] as const)("goes on where it stopped after a %s", async (kind) => {
    session.hub.fail(WEIGHTS, { kind, after: 100_000 }, 1);
    const { path } = await session.pull(ID);
    await expectWeights(path);
    const [first, second, ...more] = ranges();
    expect([first, more]).toEqual([undefined, []]);
    const from = Number(/^bytes=(\d+)-$/.exec(second ?? "")?.[1]);
    expect(from).toBeGreaterThan(0);
    expect(from).toBeLessThanOrEqual(100_000);
    expect(session.hub.bytesSent(WEIGHTS)).toBe(100_000 + SIZE - from);
  });

  it("leaves what arrived for the next pull, and nothing that looks whole", async () => {
    session.hub.fail(WEIGHTS, { kind: "stall", after: 120_000 });
    const error = await failure({ retries: 0 });
    expect(error.message).toMatch(/file "model\.safetensors" must keep arriving; nothing came from .* for 100 ms/);
    expect(await visible()).toEqual([]);
    session.hub.heal();
    const events: HubProgress[] = [];
    const { path } = await session.pull(ID, { progress: (event) => events.push(event) });
    await expectWeights(path);
    expect(ranges()).toEqual([undefined, "bytes=120000-"]);
    expect(session.hub.bytesSent(WEIGHTS)).toBe(SIZE);
    expect(events.find((event) => event.file === WEIGHTS)?.loadedBytes).toBe(120_000 + 24);
  });

  it("still gets the right bytes from a server that ignores ranges", async () => {
    session.hub.fail(WEIGHTS, { kind: "cut", after: 100_000 }, 1);
    await failure({ retries: 0 });
    session.hub.fail(WEIGHTS, { kind: "ignore-range" });
    const { path } = await session.pull(ID);
    await expectWeights(path);
    expect(session.hub.bytesSent(WEIGHTS)).toBe(100_000 + SIZE);
  });

  it("is not completed with bytes from elsewhere in the file", async () => {
    session.hub.fail(WEIGHTS, { kind: "cut", after: 100_000 }, 1);
    await failure({ retries: 0 });
    session.hub.fail(WEIGHTS, { kind: "wrong-range" });
    expect((await failure()).message).toMatch(/bytes \d+- of 300000 were asked for; got content-range bytes/);
    expect(await visible()).toEqual([]);
  });

  it("starts again when the bytes kept from before turn out wrong", async () => {
    session.hub.fail(WEIGHTS, { kind: "body", body: noise(100_000, 9) }, 1);
    await failure({ retries: 0 });
    const { path } = await session.pull(ID);
    await expectWeights(path);
    expect(ranges()).toEqual([undefined, "bytes=100000-", undefined]);
  });

  it("gives up after the set number of retries", async () => {
    session.hub.fail(WEIGHTS, { kind: "cut", after: 0 });
    const error = await failure({ retries: 3 });
    expect(error.message).toMatch(/the connection to 127\.0\.0\.1:\d+ failed/);
    expect(ranges().length).toBe(4);
  });
});

describe("an abort", () => {
  it.each([
    ["while bytes arrive", (event: HubProgress) => event.loadedBytes > 1000],
    ["between files", (event: HubProgress) => event.filesDone === 1],
  ])("%s rejects with AbortError and leaves no entry", async (_, when) => {
    const controller = new AbortController();
    const reason = new Error("user pressed stop");
    const progress = (event: HubProgress) => when(event) && controller.abort(reason);
    const error = await session.pull(ID, { signal: controller.signal, progress }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AbortError);
    expect((error as AbortError).cause).toBe(reason);
    expect(await visible()).toEqual([]);
    expect((await session.cacheEntries()).filter((entry) => entry.endsWith(".lock"))).toEqual([]);
    await expectWeights((await session.pull(ID)).path);
  });

  it("before the start asks nobody", async () => {
    await expect(session.pull(ID, { signal: AbortSignal.abort() })).rejects.toThrow(AbortError);
    expect(session.hub.requests).toEqual([]);
  });

  it("ends a wait for a stalled hub at once", async () => {
    session.hub.fail("listing", { kind: "stall", after: 10 });
    const signal = AbortSignal.timeout(20);
    await expect(session.pull(ID, { signal, stallTimeoutMs: 60_000 })).rejects.toThrow(AbortError);
  });
});

describe("a refusal", () => {
  const page = "http://127\\.0\\.0\\.1:\\d+/acme/tiny-mamba";

  it.each([
    [404, new RegExp(`answered 404.*check the name and the revision at ${page}`)],
    [401, new RegExp(`answered 401.*accept its licence at ${page} and set HF_TOKEN`)],
    [403, new RegExp(`answered 403.*the model is gated: accept its licence at ${page} and set HF_TOKEN`)],
  ])("with %i says what to do, and isn't asked again", async (status, message) => {
    for (const path of ["listing", WEIGHTS]) {
      session.hub.heal();
      session.hub.requests.length = 0;
      session.hub.fail(path, { kind: "status", status });
      const error = await failure();
      expect(error.message).toMatch(message);
      expect(error.facts["status"]).toBe(status);
      const asked = path === "listing" ? "/api/models" : WEIGHTS;
      expect(session.hub.requests.filter((request) => request.path.includes(asked)).length).toBe(1);
    }
  });

  it("of a token is told from a missing one", async () => {
    session.hub.publish(ID, { files: tinyModel(), token: "right" });
    expect((await failure()).message).toMatch(/answered 401 GatedRepo.*set HF_TOKEN/);
    const refused = await failure({ token: "wrong" });
    expect(refused.message).toMatch(/answered 403 GatedRepo.*with the account of your HF_TOKEN/);
    expect(refused.message).not.toContain("wrong");
  });

  it("with 429 names the wait, and waits itself only if it is short", async () => {
    session.hub.fail("listing", { kind: "status", status: 429, headers: { "retry-after": "3600" } });
    const error = await failure();
    expect(error.message).toMatch(/too many requests: try again in 3600 s, or set HF_TOKEN/);
    expect(session.hub.requests.length).toBe(1);
    session.hub.fail("listing", { kind: "status", status: 429, headers: { "retry-after": "0.01" } }, 1);
    await expectWeights((await session.pull(ID)).path);
  });

  it.each(["listing", WEIGHTS, "config.json"])("with 500 once, for %s, is overcome", async (path) => {
    session.hub.fail(path, { kind: "status", status: 500 }, 1);
    await expectWeights((await session.pull(ID)).path);
  });

  it("with 500 always ends after the set number of retries", async () => {
    session.hub.fail("listing", { kind: "status", status: 500 });
    expect((await failure()).message).toMatch(/answered 500.*the hub is in trouble: try again later/);
    expect(session.hub.requests.length).toBe(3);
  });

  it("with 500 falls back to the cache, with 404 does not", async () => {
    const online = await session.pull(ID);
    session.hub.fail("listing", { kind: "status", status: 500 });
    const warnings: string[] = [];
    expect(await session.pull(ID, { warn: (message) => warnings.push(message) })).toEqual(online);
    expect(warnings.length).toBe(1);
    session.hub.fail("listing", { kind: "status", status: 404 });
    expect((await failure()).facts["status"]).toBe(404);
  });
});

describe("an unreachable hub", () => {
  it("is named, with the system's reason", async () => {
    await session.hub.stop();
    const error = await failure({ retries: 1 });
    expect(error.message).toMatch(/the connection to 127\.0\.0\.1:\d+ failed \(ECONNREFUSED\); check the network/);
    expect(error.cause).toBeInstanceOf(TypeError);
  });
});
