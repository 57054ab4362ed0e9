/**
 * JSON Schemas as `link.describe` has them: what a parameter may be, in words and in choices.
 */

// Names of JSON Schema's types, as the server's refusals have them.
const TYPE_NAMES = {
  array: "list",
  boolean: "bool",
  integer: "int",
  number: "float",
  object: "object",
  string: "str",
};
const BOUNDS = [
  ["minimum", "from"],
  ["exclusiveMinimum", "above"],
  ["maximum", "to"],
  ["exclusiveMaximum", "below"],
];

/** The schemas of which a value fits one: references followed, null left out. */
export function alternatives(schema, definitions = schema.$defs ?? {}) {
  if (schema.$ref) return alternatives(referred(schema, definitions), definitions);
  if (schema.anyOf) return schema.anyOf.flatMap((part) => alternatives(part, definitions));
  return schema.type === "null" ? [] : [schema];
}

/** Whether null is among what a schema takes. */
export function admitsNull(schema) {
  return [schema, ...(schema.anyOf ?? [])].some((part) => part.type === "null");
}

/** The unit that a schema has, or one of those that it admits; empty where there is none. */
function unitIn(schema) {
  return [schema, ...(schema.anyOf ?? [])].find((part) => part.unit)?.unit ?? "";
}

/** The JSON types that a schema takes; none where it takes any. */
export function typesOf(schema, definitions) {
  return new Set(
    alternatives(schema, definitions)
      .map((part) => part.type)
      .filter(Boolean),
  );
}

/** The values of which one has to be chosen; null where others may be given. */
export function choicesOf(schema, definitions) {
  const parts = alternatives(schema, definitions);
  const isChoice = parts.length > 0 && parts.every((part) => part.enum || part.type === "boolean");
  return isChoice ? parts.flatMap((part) => part.enum ?? [true, false]) : null;
}

/** What the rows of a list are made of, where they are objects of plain members; null otherwise. */
export function columnsOf(schema) {
  const definitions = schema.$defs ?? {};
  const parts = alternatives(schema, definitions);
  if (parts.length !== 1 || parts[0].type !== "array" || !parts[0].items) return null;
  const rows = alternatives(parts[0].items, definitions);
  if (rows.length !== 1 || !rows[0].properties) return null;
  const columns = Object.entries(rows[0].properties).map(([name, member]) => ({
    name,
    schema: { ...member, $defs: definitions },
    unit: unitIn(member),
    required: (rows[0].required ?? []).includes(name),
  }));
  const nested = columns.some(({ schema: member }) => {
    const types = typesOf(member);
    return types.has("array") || types.has("object");
  });
  return nested ? null : columns;
}

/** Say in a word or two what values a schema takes; references by their names. */
export function typeText(schema) {
  if (schema.anyOf) {
    return schema.anyOf
      .filter((part) => part.type !== "null")
      .map(typeText)
      .join(" or ");
  }
  if (schema.enum) return schema.enum.map(String).join(" | ");
  if (schema.$ref) return referredName(schema);
  if (schema.format === "nparray") return "array";
  if (schema.format === "path") return "path";
  const kind = TYPE_NAMES[schema.type] ?? schema.type ?? "any";
  if (kind === "list" && schema.items) return `list of ${typeText(schema.items)}`;
  return [kind, boundsText(schema)].filter(Boolean).join(", ");
}

/** Types in words, as a refusal has them: `float or int`. */
export function typeNames(types) {
  return [...types]
    .sort()
    .map((type) => TYPE_NAMES[type] ?? type)
    .join(" or ");
}

function boundsText(schema) {
  return BOUNDS.filter(([key]) => key in schema)
    .map(([key, word]) => `${word} ${schema[key]}`)
    .join(" ");
}

function referred(schema, definitions) {
  return definitions[referredName(schema)] ?? {};
}

function referredName(schema) {
  return schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1);
}
