// What the tests of ops use of vitest, out of the packages that vitest itself is made of, without its builder and workers.
import {
  ASYMMETRIC_MATCHERS_OBJECT,
  addCustomEqualityTesters,
  chai,
  customMatchers,
  GLOBAL_EXPECT,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
  setState,
} from "@vitest/expect";
import { getCurrentTest } from "@vitest/runner";
import { restoreAllMocks, spyOn } from "@vitest/spy";

export { afterAll, afterEach, beforeAll, beforeEach, describe, it, test } from "@vitest/runner";

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);

export const expect = (value, message) => {
  const assertion = chai.expect(value, message);
  const test = getCurrentTest();
  return test ? assertion.withTest(test) : assertion;
};
Object.assign(expect, chai.expect, globalThis[ASYMMETRIC_MATCHERS_OBJECT], {
  addEqualityTesters: addCustomEqualityTesters,
});
globalThis[GLOBAL_EXPECT] = expect;
setState({ assertionCalls: 0, currentTestName: "" }, expect);
chai.expect.extend(expect, customMatchers);

chai.expect.extend(expect, {
  toThrowErrorMatchingInlineSnapshot(received, snapshot) {
    let error = received;
    if (typeof received === "function") {
      error = undefined;
      try {
        received();
      } catch (thrown) {
        error = thrown;
      }
    }
    const actual = error ? `[${error.name}: ${error.message}]` : "no error";
    const expected = snapshot.trim().replace(/^`|`$/g, "");
    return { pass: actual === expected, message: () => `expected ${expected}, got ${actual}`, actual, expected };
  },
});

const globals = new Map();
const environment = new Map();

export const vi = {
  spyOn,
  restoreAllMocks,
  fn: (implementation) => spyOn({ implementation }, "implementation"),
  stubGlobal(name, value) {
    if (!globals.has(name)) globals.set(name, Object.getOwnPropertyDescriptor(globalThis, name));
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  },
  unstubAllGlobals() {
    for (const [name, descriptor] of globals) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else delete globalThis[name];
    }
    globals.clear();
  },
  stubEnv(name, value) {
    if (!environment.has(name)) environment.set(name, process.env[name]);
    process.env[name] = value;
  },
  unstubAllEnvs() {
    for (const [name, value] of environment) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    environment.clear();
  },
};
