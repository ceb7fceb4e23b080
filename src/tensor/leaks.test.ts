import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, expect, it } from "vitest";
import { ReferenceBackend } from "../backends/reference/index.ts";
import { ignoreLeaks, reportLeaks } from "./leaks.ts";
import { zeros } from "./tensor.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

afterEach(ignoreLeaks);

it("reports memory that was garbage collected without dispose, and only that", async () => {
  const device = new ReferenceBackend({});
  const reports: string[] = [];
  reportLeaks((message) => reports.push(message));
  zeros([3], { device }).dispose();
  const kept = zeros([5], { device });
  (() => void zeros([7], { device }))();
  for (let i = 0; i < 20 && reports.length === 0; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(reports.length).toBe(1);
  expect(reports[0]).toMatch(/^mamba\.ts: 28 bytes .* at\n.*leaks\.test\.ts/s);
  kept.dispose();
});
