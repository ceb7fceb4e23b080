import { ConfigError } from "../tensor/errors.ts";
import { nearest } from "../tensor/nearest-word.ts";
import type { Field, Fields, ListField, NumberField, Variant, VariantsField } from "./config-field.ts";

/**
 * Checks a value against a field and puts defaults in.
 *
 * @param path - what error messages call it, as `model.dModel`; empty for the whole
 * @returns a new value with only known keys
 * @throws ConfigError naming the path, what came and what may come
 */
export function checkField(field: Field, value: unknown, path: string): unknown {
  switch (field.kind) {
    case "number":
    case "integer":
      return isWithin(field, value) ? value : refuse(path, describeField(field), value);
    case "boolean":
      return typeof value === "boolean" ? value : refuse(path, describeField(field), value);
    case "string":
      return typeof value === "string" && value !== "" ? value : refuse(path, describeField(field), value);
    case "choice":
      return checkChoice(field.values, value, path);
    case "list":
      return checkList(field, value, path);
    case "record":
      return checkRecord(field.fields, value, path);
    case "variants":
      return checkVariants(field, value, path);
  }
}

/** What may come, in words. */
export function describeField(field: Field): string {
  switch (field.kind) {
    case "number":
    case "integer":
      return describeNumber(field);
    case "boolean":
      return "true or false";
    case "string":
      return "text that is not empty";
    case "choice":
      return `one of ${field.values.join(", ")}`;
    case "list":
      return `${field.alone ? `${describeField(field.of)}, or ` : ""}a list of ${field.length ?? "at least one"}`;
    default:
      return "a record";
  }
}

function describeNumber({ kind, least = Number.NEGATIVE_INFINITY, most, above }: NumberField): string {
  const noun = kind === "integer" ? "a whole number" : "a number";
  const from = least === Number.NEGATIVE_INFINITY ? "" : above ? ` above ${least}` : ` from ${least}`;
  return `${noun}${from}${most === undefined ? (from && !above ? " up" : "") : ` to ${most}`}`;
}

function isWithin(field: NumberField, value: unknown): boolean {
  const { kind, least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY, above } = field;
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  if (kind === "integer" && !Number.isSafeInteger(value)) return false;
  return (above ? value > least : value >= least) && value <= most;
}

function checkChoice(values: readonly (string | boolean)[], value: unknown, path: string): unknown {
  if (values.some((known) => known === value)) return value;
  const words = values.filter((known) => typeof known === "string");
  const suggestion = typeof value === "string" ? `; did you mean ${JSON.stringify(nearest(value, words))}?` : undefined;
  return refuse(path, `one of ${values.join(", ")}`, value, suggestion);
}

function checkList(field: ListField, value: unknown, path: string): unknown {
  const items: unknown = field.alone && !Array.isArray(value) ? [value] : value;
  const fits = Array.isArray(items) && items.length > 0 && items.length === (field.length ?? items.length);
  if (!fits) return refuse(path, describeField(field), value);
  const isLone = !Array.isArray(value);
  return items.map((item, i) => checkField(field.of, item, isLone ? path : `${path}[${i}]`));
}

function checkRecord(fields: Fields, value: unknown, path: string): Record<string, unknown> {
  const given = recordOf(value, path);
  const known = Object.keys(fields);
  for (const key of Object.keys(given)) if (!Object.hasOwn(fields, key)) refuseKey(join(path, key), key, known);
  const out: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(fields)) {
    const inner = given[key] ?? field.default;
    if (inner !== undefined) out[key] = checkField(field, inner, join(path, key));
    else if (!field.optional) refuse(join(path, key), describeField(field), undefined, `; add "${key}"`);
  }
  return out;
}

function recordOf(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return refuse(path, "a record", value);
}

function checkVariants({ variants }: VariantsField, value: unknown, path: string): unknown {
  const given = recordOf(value, path);
  const present = variants.filter(({ key }) => given[key] !== undefined);
  const keys = [...new Set(variants.map(({ key }) => key))];
  const chosenKeys = [...new Set(present.map(({ key }) => key))];
  if (chosenKeys.length > 1) {
    const message = `has ${chosenKeys.join(" and ")}; keep one of them`;
    throw configError(path, `must have only one of ${keys.join(", ")}; it ${message}`, value);
  }
  if (present.length === 0) return refuseVariant(variants, given, keys, path);
  const key = chosenKeys[0]!;
  if (present.length === 1 && present[0]!.value === undefined) return checkRecord(present[0]!.fields, value, path);
  const words = present.map((variant) => variant.value!);
  checkChoice(words, given[key], join(path, key));
  return checkRecord(present.find((variant) => variant.value === given[key])!.fields, value, path);
}

/** No key says which variant is meant: a misspelt one, or none. */
function refuseVariant(
  variants: readonly Variant[],
  given: Record<string, unknown>,
  keys: readonly string[],
  path: string,
): never {
  const known = new Set(variants.flatMap(({ fields }) => Object.keys(fields)));
  for (const key of Object.keys(given)) if (!known.has(key)) refuseKey(join(path, key), key, [...known]);
  const came = Object.keys(given).join(", ") || "no keys";
  throw configError(path, `must have one of ${keys.join(", ")}; it has ${came}; add one`, given);
}

function refuseKey(path: string, key: string, known: readonly string[]): never {
  throw new ConfigError(
    `training configuration: ${path} is not a known key; the known ones are ${known.join(", ")}; did you mean "${nearest(key, known)}"?`,
    { path, key, nearest: nearest(key, known) },
  );
}

function refuse(path: string, must: string, value: unknown, suggestion = "; correct it"): never {
  const came = value === undefined ? "nothing" : (JSON.stringify(value) ?? String(value));
  const excerpt = came.length > 80 ? `${came.slice(0, 77)}...` : came;
  throw configError(path, `must be ${must}; got ${excerpt}${suggestion}`, value);
}

function configError(path: string, problem: string, value: unknown): ConfigError {
  return new ConfigError(`training configuration: ${path || "it"} ${problem}`, { path, value });
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}
