import type { Field, Fields, NumberField } from "./config-field.ts";

/**
 * A JSON Schema (draft 2020-12) of a record of fields, for editors that complete and check configurations.
 *
 * @param title - of the schema
 */
export function jsonSchema(title: string, fields: Fields): Record<string, unknown> {
  return { $schema: "https://json-schema.org/draft/2020-12/schema", title, ...recordSchema(fields) };
}

function recordSchema(fields: Fields): Record<string, unknown> {
  const entries = Object.entries(fields);
  return {
    type: "object",
    properties: Object.fromEntries(entries.map(([key, field]) => [key, fieldSchema(field)])),
    required: entries.filter(([, field]) => !field.optional && field.default === undefined).map(([key]) => key),
    additionalProperties: false,
  };
}

function fieldSchema(field: Field): Record<string, unknown> {
  const facts = {
    description: field.about,
    ...(field.default === undefined ? {} : { default: field.default }),
  };
  return { ...facts, ...valueSchema(field) };
}

function valueSchema(field: Field): Record<string, unknown> {
  switch (field.kind) {
    case "number":
    case "integer":
      return { type: field.kind, ...limits(field) };
    case "boolean":
      return { type: "boolean" };
    case "string":
      return { type: "string", minLength: 1 };
    case "choice":
      return { enum: field.values };
    case "list": {
      const list = { type: "array", items: fieldSchema(field.of), minItems: field.length ?? 1 };
      const exact = field.length === undefined ? list : { ...list, maxItems: field.length };
      return field.alone ? { oneOf: [fieldSchema(field.of), exact] } : exact;
    }
    case "record":
      return recordSchema(field.fields);
    case "variants":
      return { oneOf: field.variants.map(({ key, value, fields }) => variantSchema(key, value, fields)) };
  }
}

function variantSchema(key: string, value: string | undefined, fields: Fields): Record<string, unknown> {
  const record = recordSchema(fields) as { properties: Record<string, unknown>; required: string[] };
  const own = value === undefined ? record.properties[key] : { const: value };
  const required = [...new Set([key, ...record.required])];
  return { ...record, properties: { ...record.properties, [key]: own }, required };
}

function limits({ least, most, above }: NumberField): Record<string, number> {
  return {
    ...(least === undefined ? {} : above ? { exclusiveMinimum: least } : { minimum: least }),
    ...(most === undefined ? {} : { maximum: most }),
  };
}
