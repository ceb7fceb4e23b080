import { expect, it, vi } from "vitest";
import { openUrlFolder } from "#platform";
import { CausalLM } from "../../src/index.ts";

const model = new URL("../../models/storybook-11m/", import.meta.url);

/** Runs f and gives the longest time that the page's thread was busy in one task, in milliseconds. */
async function longestTask(f: () => Promise<void>): Promise<number> {
  let longest = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) longest = Math.max(longest, entry.duration);
  });
  observer.observe({ type: "longtask" });
  await f();
  await new Promise((resolve) => setTimeout(resolve, 50));
  observer.disconnect();
  return longest;
}

/** Keeps the thread busy. */
function spin(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

// a machine that is busy with other tests may hold up a task that is short: the best of four tries counts
const RETRIES = 3;

it("would see a task that keeps the page busy", async () => {
  const longest = await longestTask(async () => {
    await new Promise((resolve) => setTimeout(resolve));
    spin(120);
  });
  expect(longest).toBeGreaterThan(100);
});

it(`loads and streams without keeping the page busy for 50 ms, ${crossOriginIsolated ? "" : "not "}isolated`, {
  retry: RETRIES,
}, async () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  let lm: CausalLM | undefined;
  let text = "";
  const longest = await longestTask(async () => {
    lm = await CausalLM.fromPretrained(openUrlFolder(model), { device: "wasm", threads: 2 });
    const options = { maxNewTokens: 24, temperature: 0, repetitionPenalty: 1 };
    for await (const chunk of lm.stream("Once upon a time", options)) text += chunk.text;
  });
  // what the official code gives: test/fixtures/storybook-11m/reference.json
  expect(text).toBe(
    " there was a great deal of work done with the captain and his wife, and the captain, who was a very good",
  );
  expect(longest).toBeLessThan(50);
  expect(lm!.device.features.has(crossOriginIsolated ? "executor-pool" : "executor-worker")).toBe(true);
  lm!.dispose();
  warn.mockRestore();
});
