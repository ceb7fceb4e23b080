import { mkdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { gitHash } from "../../test/kit/fake-hub.ts";
import { type HubSession, noise, startHubSession, tinyModel } from "../../test/kit/hub-session.ts";
import { HubError } from "../tensor/errors.ts";
import { type HubProgress, hubFiles } from "./hub.ts";

const ID = "acme/tiny-mamba";
const FOLDER = "models--acme--tiny-mamba";
// SHA-256 of noise(300_000), from coreutils' sha256sum.
const WEIGHTS_HASH = "cbbf1aa1724d6a078f109e131e053eaae7eb669f6ef00b1ad46004a6118d965d";

let session: HubSession;

beforeEach(async () => {
  session = await startHubSession();
});

afterEach(async () => {
  await session.close();
});

const paths = () => session.hub.requests.map((request) => `${request.method} ${request.path.split("?")[0]}`);

describe("a pull", () => {
  it("brings the hub's bytes and lays them out like Python's huggingface_hub", async () => {
    const commit = session.hub.publish(ID, { files: tinyModel() });
    const pulled = await session.pull(ID);
    const snapshot = join(session.cacheDir, FOLDER, "snapshots", commit);
    expect(pulled).toEqual({
      path: snapshot,
      revision: commit,
      files: ["config.json", "tokenizer.json", "model.safetensors"],
    });
    expect(new Uint8Array(await readFile(join(snapshot, "model.safetensors")))).toEqual(noise(300_000));
    expect(await readlink(join(snapshot, "model.safetensors"))).toBe(join("..", "..", "blobs", WEIGHTS_HASH));
    const configHash = gitHash(new TextEncoder().encode('{"model_type":"mamba"}'));
    expect(await readlink(join(snapshot, "config.json"))).toBe(join("..", "..", "blobs", configHash));
    expect(await readFile(join(session.cacheDir, FOLDER, "refs", "main"), "utf8")).toBe(commit);
    const kinds = (await session.cacheEntries()).map((entry) => entry.split("/")[1]);
    expect(kinds).toEqual(["blobs", "blobs", "blobs", "refs", "snapshots", "snapshots", "snapshots"]);
  });

  it("asks only for the list of files when everything is there", async () => {
    session.hub.publish(ID, { files: tinyModel() });
    await session.pull(ID);
    session.hub.requests.length = 0;
    await session.pull(ID);
    expect(paths()).toEqual([`GET /api/models/${ID}/revision/main`]);
  });

  it("keeps both commits when a branch moves, and shares what they have in common", async () => {
    const first = session.hub.publish(ID, { files: tinyModel() });
    await session.pull(ID);
    const second = session.hub.publish(ID, { files: { ...tinyModel(), "config.json": '{"n_layer":2}' } });
    session.hub.requests.length = 0;
    const pulled = await session.pull(ID);
    expect(pulled.revision).toBe(second);
    expect(paths()).toEqual([`GET /api/models/${ID}/revision/main`, `GET /${ID}/resolve/${second}/config.json`]);
    const old = join(session.cacheDir, FOLDER, "snapshots", first, "config.json");
    expect(await readFile(old, "utf8")).toBe('{"model_type":"mamba"}');
  });

  it("takes a commit as revision and writes no ref for it", async () => {
    const commit = session.hub.publish(ID, { files: tinyModel() });
    await session.pull(ID, { revision: commit });
    expect((await session.cacheEntries()).filter((entry) => entry.includes("/refs/"))).toEqual([]);
    const offline = await session.pull(ID, { revision: commit, localFilesOnly: true });
    expect(offline.revision).toBe(commit);
  });

  it("asks every file's headers where the listing holds no hashes", async () => {
    session.hub.publish(ID, { files: tinyModel(), bareListing: true });
    const { path } = await session.pull(ID);
    expect(await readlink(join(path, "model.safetensors"))).toBe(join("..", "..", "blobs", WEIGHTS_HASH));
    expect(paths().filter((request) => request.startsWith("HEAD")).length).toBe(3);
  });

  it("replaces a blob of the wrong length that somebody left in the cache", async () => {
    session.hub.publish(ID, { files: tinyModel() });
    const blob = join(session.cacheDir, FOLDER, "blobs", WEIGHTS_HASH);
    await mkdir(dirname(blob), { recursive: true });
    await writeFile(blob, "half of it");
    const { path } = await session.pull(ID);
    expect((await readFile(join(path, "model.safetensors"))).length).toBe(300_000);
  });

  it("gives the same files to two pulls at once, and fetches them once", async () => {
    session.hub.publish(ID, { files: tinyModel() });
    const [one, two] = await Promise.all([session.pull(ID), session.pull(ID)]);
    expect(two).toEqual(one);
    expect(new Uint8Array(await readFile(join(two.path, "model.safetensors")))).toEqual(noise(300_000));
    expect(session.hub.bytesSent("model.safetensors")).toBe(300_000);
  });
});

describe("the choice of files", () => {
  const index = (...shards: string[]) =>
    JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, i) => [`layer.${i}`, shard])) });

  it("takes an index with its shards, and no PyTorch files beside safetensors", async () => {
    const files = {
      "config.json": "{}",
      "README.md": "no",
      "pytorch_model.bin": "no",
      "model-00001-of-00002.safetensors": noise(2000, 2),
      "model-00002-of-00002.safetensors": noise(2000, 3),
      "model.safetensors.index.json": index("model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"),
    };
    session.hub.publish(ID, { files });
    const { files: pulled } = await session.pull(ID);
    expect(pulled).toEqual([
      "config.json",
      "model.safetensors.index.json",
      "model-00002-of-00002.safetensors",
      "model-00001-of-00002.safetensors",
    ]);
  });

  it("takes PyTorch files where there are no safetensors", async () => {
    session.hub.publish(ID, { files: { "config.json": "{}", "pytorch_model.bin": noise(5000) } });
    expect((await session.pull(ID)).files).toEqual(["config.json", "pytorch_model.bin"]);
  });

  it("takes the files that are named, in subfolders too", async () => {
    session.hub.publish(ID, { files: { ...tinyModel(), "onnx/notes.txt": "hello" } });
    const { path, files } = await session.pull(ID, { files: ["onnx/notes.txt"] });
    expect(files).toEqual(["onnx/notes.txt"]);
    expect(await readFile(join(path, "onnx", "notes.txt"), "utf8")).toBe("hello");
    const tested = await session.pull(ID, { files: (name) => name.endsWith(".json") });
    expect(tested.files).toEqual(["config.json", "tokenizer.json"]);
  });

  it("says which files are missing", async () => {
    session.hub.publish(ID, {
      files: { "config.json": "{}", "model.safetensors.index.json": index("gone.safetensors") },
    });
    await expect(session.pull(ID)).rejects.toThrow(/must exist in full; missing gone\.safetensors/);
    session.hub.publish(ID, { files: { "config.json": "{}", "weights.h5": "no" } });
    await expect(session.pull(ID)).rejects.toThrow(
      /weights must be one of model\.safetensors.*found config\.json, weights\.h5/,
    );
  });
});

describe("progress", () => {
  it("rises from file to file and ends at the total", async () => {
    session.hub.publish(ID, { files: tinyModel() });
    const events: HubProgress[] = [];
    await session.pull(ID, { progress: (event) => events.push(event) });
    const total = 22 + 2 + 300_000;
    expect(events.every((event) => event.totalBytes === total && event.files === 3)).toBe(true);
    const loaded = events.map((event) => event.loadedBytes);
    expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
    expect(events.at(-1)).toEqual({
      file: "model.safetensors",
      loadedBytes: total,
      totalBytes: total,
      files: 3,
      filesDone: 3,
    });
    expect(events.filter((event) => event.file === "model.safetensors").length).toBeGreaterThan(2);
  });
});

describe("without the hub", () => {
  it("uses the cached files and says so", async () => {
    session.hub.publish(ID, { files: tinyModel() });
    const online = await session.pull(ID);
    await session.hub.stop();
    const warn = vi.fn();
    expect(await session.pull(ID, { warn })).toEqual(online);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn.mock.calls[0]?.[0]).toMatch(/using the cached commit [0-9a-f]{12} of "main"/);
  });

  it("asks nobody when only local files may be used", async () => {
    session.hub.publish(ID, { files: tinyModel() });
    const online = await session.pull(ID);
    session.hub.requests.length = 0;
    expect(await session.pull(ID, { localFilesOnly: true })).toEqual(online);
    expect(session.hub.requests).toEqual([]);
  });

  it("fails when the cached files aren't whole", async () => {
    session.hub.publish(ID, { files: tinyModel() });
    await expect(session.pull(ID, { localFilesOnly: true })).rejects.toThrow(
      /must lie whole in .* does not; pull it once/,
    );
    const { path } = await session.pull(ID);
    await rm(join(path, "..", "..", "blobs", WEIGHTS_HASH));
    await expect(session.pull(ID, { localFilesOnly: true })).rejects.toThrow(HubError);
  });
});

describe("the token", () => {
  it("goes to the hub and not to the content network", async () => {
    session.hub.publish(ID, { files: tinyModel(), token: "hf_secret" });
    await session.pull(ID, { token: "hf_secret\n" });
    const sent = (server: string) =>
      session.hub.requests.filter((request) => request.server === server).map((request) => request.authorization);
    expect(sent("hub")).toEqual(Array(4).fill("Bearer hf_secret"));
    expect(sent("cdn")).toEqual([undefined]);
  });

  it("comes from HF_TOKEN, with the address and the folder from their variables", async () => {
    session.hub.publish(ID, { files: tinyModel(), token: "hf_secret" });
    vi.stubEnv("HF_TOKEN", "hf_secret");
    vi.stubEnv("HF_ENDPOINT", `${session.hub.url}/`);
    vi.stubEnv("HF_HUB_CACHE", session.cacheDir);
    const { path } = await session.pull(ID, { token: undefined, endpoint: undefined, cacheDir: undefined });
    vi.unstubAllEnvs();
    expect(path.startsWith(session.cacheDir)).toBe(true);
    expect(session.hub.requests[0]?.authorization).toBe("Bearer hf_secret");
  });
});

describe("hubFiles", () => {
  it("opens the pulled files for reading by range", async () => {
    session.hub.publish(ID, { files: tinyModel() });
    const { hub, cacheDir } = session;
    const files = await hubFiles(ID, { endpoint: hub.url, cacheDir, token: "" });
    expect(await files.list()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    const source = await files.open("model.safetensors");
    expect(source.byteLength).toBe(300_000);
    expect(await source.read(1000, 1010)).toEqual(noise(300_000).slice(1000, 1010));
    await source.close();
  });
});
