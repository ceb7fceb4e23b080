import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HubSession, noise, startHubSession, tinyModel } from "../../test/kit/hub-session.ts";
import { ConfigError, HubError } from "../tensor/errors.ts";
import { checkModelId, checkRevision, isSafePath } from "./hub-names.ts";

const ID = "acme/tiny-mamba";
const WEIGHTS = "model.safetensors";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

let session: HubSession;

beforeEach(async () => {
  session = await startHubSession();
});

afterEach(async () => {
  await session.close();
});

/** Answers the next listing with this. */
function list(answer: unknown): void {
  session.hub.publish(ID, { files: tinyModel() });
  session.hub.fail("listing", { kind: "body", body: typeof answer === "string" ? answer : JSON.stringify(answer) });
}

async function expectRefusal(message: RegExp): Promise<void> {
  // a machine with other work is not a hub that has gone silent
  const error = await session.pull(ID, { stallTimeoutMs: 10_000 }).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(HubError);
  expect((error as HubError).message).toMatch(message);
  expect((await session.cacheEntries()).filter((entry) => /snapshots|refs|blobs/.test(entry))).toEqual([]);
}

describe("names", () => {
  it.each([
    "",
    "a/b/c",
    "../x",
    "a/..",
    "a b/c",
    "org/na--me",
    "/org/name",
    "org/",
    "org/x.git",
    ".x/y",
    "a/b?c",
    "ä/b",
  ])("refuse the id %j before anything is asked", async (id) => {
    await expect(session.pull(id)).rejects.toThrow(/a model id must read ORGANISATION\/NAME/);
    expect(session.hub.requests).toEqual([]);
  });

  it.each(["gpt2", "state-spaces/mamba-130m-hf", "_org/x_1.5B"])("accept the id %j", (id) => {
    expect(() => checkModelId(id)).not.toThrow();
  });

  it.each(["", "..", "a/../b", "/main", "main/", "a b", "-x", "a\\b", "x".repeat(300)])(
    "refuse the revision %j",
    async (revision) => {
      await expect(session.pull(ID, { revision })).rejects.toThrow(/a revision must be/);
    },
  );

  it.each(["main", "v1.0", "refs/pr/3", "feature/x+y", COMMIT])("accept the revision %j", (revision) => {
    expect(() => checkRevision(revision)).not.toThrow();
  });

  it.each(["../x", "a/../../x", "/etc/passwd", "C:\\x", "C:x", "a\\b", "a//b", "", "./a", "a\0b", 7, null])(
    "refuse the file %j",
    (path) => {
      expect(isSafePath(path)).toBe(false);
    },
  );

  it("refuse an endpoint that is no web address", async () => {
    await expect(session.pull(ID, { endpoint: "file:///tmp" })).rejects.toThrow(ConfigError);
  });
});

describe("a hostile listing", () => {
  it.each(["../../evil.json", "/tmp/evil.json", "..\\evil.json"])("with the file %j is refused whole", async (path) => {
    list({
      sha: COMMIT,
      siblings: [
        { rfilename: "config.json", size: 2 },
        { rfilename: path, size: 2 },
      ],
    });
    await expectRefusal(/file names must be relative paths without "\.\."; got/);
  });

  it.each([
    ["no JSON", "<html>", /must be JSON; got "<html>"/],
    ["no commit", { siblings: [] }, /sha must be a commit of 40 hexadecimal digits; got nothing/],
    ["a path for a commit", { sha: "../../../tmp", siblings: [] }, /sha must be a commit/],
    ["no list", { sha: COMMIT, siblings: 3 }, /siblings must be a list; got 3/],
    ["too many files", { sha: COMMIT, siblings: Array(100_001).fill(0) }, /at most 100000 files; got 100001/],
  ])("with %s is refused", async (_, answer, message) => {
    list(answer);
    await expectRefusal(message);
  });

  it("longer than 32 MiB is refused without reading to its end", async () => {
    list(`"${"x".repeat(33 << 20)}"`);
    await expectRefusal(/must be at most 33554432 bytes/);
  });

  it("that names a path as a hash cannot choose where bytes go", async () => {
    const siblings = Object.keys(tinyModel()).map((rfilename) => ({ rfilename, size: 2, blobId: "../../../../evil" }));
    list({ sha: COMMIT, siblings });
    await expectRefusal(/answered 404/);
  });

  it("whose index points outside is refused", async () => {
    const index = JSON.stringify({ weight_map: { a: "../../evil.safetensors" } });
    session.hub.publish(ID, { files: { "config.json": "{}", "model.safetensors.index.json": index } });
    await expect(session.pull(ID)).rejects.toThrow(/index\.json: file names must be relative paths/);
    session.hub.publish(ID, { files: { "config.json": "{}", "model.safetensors.index.json": "[1]" } });
    await expect(session.pull(ID)).rejects.toThrow(/weight_map must map tensors to files/);
  });
});

describe("bytes that aren't what was listed", () => {
  beforeEach(() => {
    session.hub.publish(ID, { files: tinyModel() });
  });

  const entries = async () => (await session.cacheEntries()).filter((entry) => /snapshots|refs|incomplete/.test(entry));

  it.each([WEIGHTS, "config.json"])("in %s are found by their hash, and nothing is kept", async (path) => {
    session.hub.fail(path, { kind: "garble" });
    await expect(session.pull(ID)).rejects.toThrow(
      new RegExp(`file "${path}" must have (SHA-256|git SHA-1) [0-9a-f]+; other`),
    );
    expect(await entries()).toEqual([]);
  });

  it("are refused as soon as they are too many", async () => {
    session.hub.fail(WEIGHTS, { kind: "body", body: noise(5_000_000) });
    await expect(session.pull(ID)).rejects.toThrow(/must have 300000 bytes as listed; more arrived/);
    expect(await entries()).toEqual([]);
  });

  it("are refused when they are too few, after the retries", async () => {
    session.hub.fail(WEIGHTS, { kind: "body", body: noise(299_999) });
    await expect(session.pull(ID)).rejects.toThrow(/must have 300000 bytes as listed; the file ended after 299999/);
    expect(await entries()).toEqual([]);
    session.hub.heal();
    expect((await session.pull(ID)).files).toContain(WEIGHTS);
  });
});

describe("redirects", () => {
  it("in a circle end with an error", async () => {
    session.hub.publish(ID, { files: tinyModel() });
    const headers = { location: `${session.hub.url}/${ID}/resolve/${COMMIT}/config.json` };
    session.hub.fail("listing", {
      kind: "status",
      status: 302,
      headers: { location: `/api/models/${ID}/revision/main` },
    });
    await expect(session.pull(ID)).rejects.toThrow(/at most 5 redirects are followed/);
    expect(session.hub.requests.length).toBe(6);
    session.hub.fail("listing", {
      kind: "status",
      status: 302,
      headers: { ...headers, location: "file:///etc/passwd" },
    });
    await expect(session.pull(ID)).rejects.toThrow(/a redirect must name an http address/);
  });
});
