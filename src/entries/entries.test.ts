import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as ops from "./ops.ts";
import * as tensors from "./tensor.ts";

const folder = new URL("../ops/", import.meta.url);
const opFolders = readdirSync(folder).filter((name) => existsSync(new URL(`${name}/index.ts`, folder)));

describe("mamba.ts/ops", () => {
  it.each(opFolders)("has the functions of %s", (name) => {
    const source = readFileSync(new URL(`${name}/index.ts`, folder), "utf8");
    const functions = [...source.matchAll(/^export (?:function|const) (\w+)/gm)].map((match) => match[1]!);
    expect(functions.length).toBeGreaterThan(0);
    expect(Object.keys(ops)).toEqual(expect.arrayContaining(functions));
  });
});

describe("mamba.ts/tensor", () => {
  it("opens a device and computes on it with mamba.ts/ops", async () => {
    using device = await tensors.openDevice("reference");
    const sum = tensors.scope(() => ops.sum(tensors.tensor([1, 2, 3.5], undefined, { device })));
    expect(await sum.item()).toBe(6.5);
  });
});
