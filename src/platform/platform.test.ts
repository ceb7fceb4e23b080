import { describe, expect, it } from "vitest";
import * as browser from "./browser.ts";
import * as node from "./node.ts";

describe("platform", () => {
  it("offers the same names in Node and in browsers", () => {
    expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
  });

  it("says what to do instead where a browser cannot", async () => {
    await expect(browser.writeFileAtomically("a", async () => {})).rejects.toThrow(/encode to bytes instead/);
    await expect(browser.openFileSource("relative/path")).rejects.toThrow(/give a full URL/);
    expect(await browser.pathKind("a")).toBeUndefined();
  });
});
