import { ConfigError } from "../tensor/errors.ts";
import { excerpt } from "./tensor-entry.ts";

/** Sizes beyond this belong to no model. */
const largestSize = 2 ** 31 - 1;

/** Typed access to the keys of a configuration file; every method throws a ConfigError that names the key. */
export class ConfigFields {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #prefix: string;
  readonly #where: string;

  /**
   * @param prefix - path of the object in the file, for messages: `ssm_cfg.`
   * @param where - what messages call the file
   */
  constructor(fields: unknown, prefix = "", where = "config.json") {
    if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
      const what = prefix ? `${where}: ${prefix.slice(0, -1)}` : where;
      throw new ConfigError(`${what}: must be an object; got ${excerpt(fields)}; fetch the file again`, {
        key: prefix.slice(0, -1),
      });
    }
    this.#fields = fields as Record<string, unknown>;
    this.#prefix = prefix;
    this.#where = where;
  }

  /** Whether a key is there and not null, which files use for "none". */
  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** The value of a key; undefined for null. */
  get(key: string): unknown {
    return Object.hasOwn(this.#fields, key) ? (this.#fields[key] ?? undefined) : undefined;
  }

  /** An object inside; empty if it is not there. */
  inside(key: string): ConfigFields {
    return new ConfigFields(this.get(key) ?? {}, `${this.#prefix}${key}.`, this.#where);
  }

  /** A positive integer; it must be there unless `absent` is given. */
  size(key: string, absent?: number): number {
    const value = this.get(key) ?? absent;
    if (isInteger(value) && value >= 1 && value <= largestSize) return value;
    throw this.wrong(key, "must be a positive integer", value);
  }

  /** A token id, if there is one. */
  id(key: string): number | undefined {
    const value = this.get(key);
    if (value === undefined || (isInteger(value) && value >= 0 && value <= largestSize)) return value;
    throw this.wrong(key, "must be a token id", value);
  }

  /** A list of token ids, which files also write as one number or null. */
  ids(key: string): number[] {
    const value = this.get(key) ?? [];
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    if (ids.every((id) => isInteger(id) && id >= 0 && id <= largestSize)) return ids as number[];
    throw this.wrong(key, "must be a token id or a list of them", value);
  }

  /** A positive number; it must be there unless `absent` is given. */
  positive(key: string, absent?: number): number {
    const value = this.get(key) ?? absent;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    throw this.wrong(key, "must be a positive number", value);
  }

  flag(key: string, absent: boolean): boolean {
    const value = this.get(key) ?? absent;
    if (typeof value === "boolean") return value;
    throw this.wrong(key, "must be true or false", value);
  }

  /** One of several texts; the first if the key is not there. */
  choice<const Choices extends readonly [string, ...string[]]>(key: string, choices: Choices): Choices[number] {
    const value = this.get(key) ?? choices[0];
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw this.wrong(key, `must be ${choices.map((choice) => `"${choice}"`).join(" or ")}`, value);
  }

  /** Throws unless a key, if it is there, has the only value it can have beside the others. */
  mustBe(key: string, expected: number | string | boolean, why: string): void {
    const value = this.get(key);
    if (value !== undefined && value !== expected) throw this.wrong(key, `must be ${expected}, ${why}`, value);
  }

  /** Throws unless a key is there and has the only value that it can have. */
  must(key: string, expected: string): void {
    const value = this.get(key);
    if (value !== expected) throw this.wrong(key, `must be "${expected}"`, value);
  }

  /** An error about a key. */
  wrong(key: string, must: string, value: unknown): ConfigError {
    const full = this.#prefix + key;
    return new ConfigError(
      `${this.#where}: ${full} ${must}; got ${excerpt(value)}; correct the file or fetch it again`,
      {
        key: full,
        value,
      },
    );
  }
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
