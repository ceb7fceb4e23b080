import { describe, expect, it } from "vitest";
import { fakeTerminal } from "../../test/kit/fake-terminal.ts";
import { AbortError, CheckpointError } from "../tensor/errors.ts";
import { formatVerification } from "./commands/verify.ts";
import { describeFailure, UsageError } from "./failure.ts";
import { formatBytes, Progress, renderProgress } from "./progress.ts";

describe("describeFailure", () => {
  const calm = { interrupted: undefined };

  it("tells failure, misuse, Ctrl-C and a closed output apart", () => {
    expect(describeFailure(new CheckpointError("a:\n  b; c"), calm)).toEqual({
      exitCode: 1,
      code: "CHECKPOINT",
      message: "a: b; c",
    });
    expect(describeFailure(new UsageError("x"), calm)).toMatchObject({ exitCode: 2, code: "USAGE" });
    expect(describeFailure(new AbortError("x"), calm).exitCode).toBe(130);
    expect(describeFailure(new TypeError("x"), { interrupted: "signal" }).exitCode).toBe(130);
    expect(describeFailure(new AbortError("x"), { interrupted: "closed output" }).exitCode).toBe(0);
    expect(describeFailure(new TypeError("x"), calm)).toMatchObject({ exitCode: 1, code: "UNEXPECTED" });
  });
});

describe("progress", () => {
  it("draws shares of the bar and stays within the terminal", () => {
    expect(renderProgress("load", 1, 2, "half", 80)).toBe("load [############............]  50 % half");
    expect(renderProgress("load", 0, 0, "", 80)).toBe("load [........................]   0 %");
    expect(renderProgress("load", 3, 2, "x".repeat(100), 40)).toHaveLength(39);
  });

  it("is drawn for people only, and taken away", () => {
    const watched = fakeTerminal({ watched: true });
    const bar = new Progress(watched);
    bar.update("eval", 1, 4);
    bar.update("eval", 2, 4);
    bar.update("eval", 4, 4);
    bar.clear();
    bar.clear();
    expect(watched.errors.match(/eval/g)).toHaveLength(2);
    expect(watched.errors.match(/\r/g)).toHaveLength(3);
    const unwatched = fakeTerminal();
    const silent = new Progress(unwatched);
    silent.update("eval", 1, 1);
    silent.clear();
    expect(unwatched.errors).toBe("");
  });

  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [3 * 2 ** 30, "3.0 GiB"],
  ])("writes %i bytes as %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});

describe("formatVerification", () => {
  it("puts each error beside its limit and names what was not compared", () => {
    const text = formatVerification(
      {
        ok: false,
        compared: [
          { name: "logits", measure: "absolute", error: 2e-6, limit: 1e-4, ok: true },
          { name: "loss", measure: "absolute", error: 2e-3, limit: 1e-5, ok: false },
        ],
        notCompared: [{ name: "hidden", reason: "not a quantity" }],
      },
      "wasm",
    );
    expect(text).toMatch(/^ok {4}logits +2\.00e-6 {2}limit 1e-4 {2}absolute$/m);
    expect(text).toMatch(/^FAIL {2}loss +2\.00e-3 {2}limit 1e-5/m);
    expect(text).toMatch(/^-- {4}hidden +not compared: not a quantity$/m);
    expect(text).toMatch(/2 compared on wasm, 1 past their limit, 1 not compared\n$/);
  });
});
