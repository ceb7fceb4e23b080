import { describe, expect, it } from "vitest";
import { openUrlFolder, openUrlSource } from "./url-source.ts";

const content = Uint8Array.from({ length: 100 }, (_, i) => i);

/** A server of one resource that answers range requests. */
function server(overrides: { etag?: () => string; extra?: number; ranges?: boolean; hideTotal?: boolean } = {}) {
  const requests: string[] = [];
  const answer = async (url: string, init: RequestInit): Promise<Response> => {
    const range = new Headers(init.headers).get("range");
    requests.push(`${init.method ?? "GET"} ${url} ${range ?? ""}`.trim());
    if (!url.endsWith("/weights.bin")) return new Response("no", { status: 404, statusText: "Not Found" });
    const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? "");
    if (!match || overrides.ranges === false) return new Response(init.method === "HEAD" ? null : content);
    const [start, end] = [Number(match[1]), Number(match[2]) + 1];
    const headers: Record<string, string> = { etag: overrides.etag?.() ?? '"1"' };
    if (!overrides.hideTotal) headers["content-range"] = `bytes ${start}-${end - 1}/${content.length}`;
    return new Response(content.slice(start, end + (start === 0 ? 0 : (overrides.extra ?? 0))), {
      status: 206,
      headers,
    });
  };
  return { fetch: answer, requests };
}

describe("openUrlSource", () => {
  it("learns the length from one byte and then asks for the ranges only", async () => {
    const { fetch, requests } = server();
    const source = await openUrlSource("http://a/weights.bin", { fetch });
    expect(source.byteLength).toBe(100);
    expect([...(await source.read(10, 13))]).toEqual([10, 11, 12]);
    expect(await source.read(5, 5)).toHaveLength(0);
    expect(requests).toEqual(["GET http://a/weights.bin bytes=0-0", "GET http://a/weights.bin bytes=10-12"]);
  });

  it("keeps the whole body when the server ignores ranges", async () => {
    const { fetch, requests } = server({ ranges: false });
    const source = await openUrlSource("http://a/weights.bin", { fetch });
    expect([...(await source.read(98, 100))]).toEqual([98, 99]);
    await expect(source.read(98, 101)).rejects.toThrow(/must lie within its 100 bytes/);
    expect(requests).toHaveLength(1);
  });

  it("refuses an answer of the wrong length, a changed file, a hidden length and a missing file", async () => {
    const long = await openUrlSource("http://a/weights.bin", { fetch: server({ extra: 5 }).fetch });
    await expect(long.read(10, 20)).rejects.toThrow(/must be 10 bytes long; got 15/);
    let version = 0;
    const changing = server({ etag: () => `"${version++}"` });
    const changed = await openUrlSource("http://a/weights.bin", { fetch: changing.fetch });
    await expect(changed.read(0, 1)).rejects.toThrow(/must not change while it is read/);
    await expect(openUrlSource("http://a/weights.bin", { fetch: server({ hideTotal: true }).fetch })).rejects.toThrow(
      /Content-Range/,
    );
    await expect(openUrlSource("http://a/none", { fetch: server().fetch })).rejects.toMatchObject({
      code: "FILE",
      facts: { status: 404 },
    });
  });

  it("names the address when nobody answers", async () => {
    const fetch = async (): Promise<Response> => {
      throw new TypeError("connection refused");
    };
    await expect(openUrlSource("http://a/weights.bin", { fetch })).rejects.toThrow(
      /http:\/\/a\/weights.bin.*must answer/,
    );
  });
});

describe("openUrlFolder", () => {
  it("asks for files below its address", async () => {
    const { fetch, requests } = server();
    const files = openUrlFolder("http://a/model", { fetch });
    expect(await files.has("weights.bin")).toBe(true);
    expect(await files.has("other file")).toBe(false);
    expect((await files.open("weights.bin")).byteLength).toBe(100);
    await expect(files.has("../x")).rejects.toThrow(/stay in its folder/);
    expect(requests.slice(0, 2)).toEqual(["HEAD http://a/model/weights.bin", "HEAD http://a/model/other%20file"]);
  });
});
