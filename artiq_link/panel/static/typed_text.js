/**
 * What people type for a parameter becomes a value, by the rules of the shell and the desktop client.
 *
 * What the parameter's schema and unit say decides, where they are known; otherwise the text is JSON,
 * or a number as people write it: `.5`, `+5`.
 */

import { admitsNull, alternatives, typeNames, typesOf } from "./schema.js";
import { exampleOf, knownQuantity, numberText, readQuantity } from "./units.js";

const WHOLE = /^[+-]?[0-9]+$/;
const NUMBER = /^[+-]?(?:[0-9]+\.?|[0-9]*\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const SWITCH = { on: true, off: false, true: true, false: false, yes: true, no: false };

/**
 * Read what was typed for a parameter of this JSON Schema and unit.
 *
 * A number may have its unit behind it, with a prefix of its own: `80MHz` where `unit` is Hz. Throws
 * RangeError that says what was expected.
 */
export function readTyped(typed, schema, unit = "") {
  const text = typed.trim();
  const parts = alternatives(schema);
  const types = typesOf(schema);
  if ((text === "null" || text === "None") && admitsNull(schema)) return null;
  for (const choice of parts.flatMap((part) => part.enum ?? [])) {
    if (text === String(choice)) return choice;
  }
  if (text.startsWith('"') || (/^[[{]/.test(text) && !isOnly(types, "string")))
    return readJson(text);
  if (types.size) return readOfTypes(text, types, unit);
  return readUndeclared(text);
}

/** Read JSON; throws RangeError that says what is wrong with it. */
export function readJson(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RangeError(`not JSON: ${error.message}`);
  }
}

function readOfTypes(text, types, unit) {
  if (types.has("number") || types.has("integer")) {
    const number = readNumber(text, unit);
    if (number !== null && (types.has("number") || Number.isInteger(number))) return number;
  }
  if (types.has("boolean") && Object.hasOwn(SWITCH, text.toLowerCase())) {
    return SWITCH[text.toLowerCase()];
  }
  if (types.has("string")) return text;
  throw new RangeError(`expected ${expected(text, types, unit)}, got '${text.slice(0, 60)}'`);
}

/** Read a value of which nothing is known; what only looks like a text is refused. */
function readUndeclared(text) {
  const number = readNumber(text, "");
  if (number !== null) return number;
  try {
    return JSON.parse(text);
  } catch {
    const quantity = knownQuantity(text);
    const meant = quantity === null ? SWITCH[text.toLowerCase()] : numberText(quantity);
    if (meant !== undefined) {
      throw new RangeError(
        `'${text.slice(0, 60)}' is a text where no type is declared; ` +
          `write ${meant}, or "${text.slice(0, 60)}" with its quotes if a text is meant`,
      );
    }
    return text;
  }
}

/** A number as people type it, perhaps with its unit; null for what is none. */
function readNumber(text, unit) {
  if (!NUMBER.test(text)) {
    if (!unit || !/^[+-]?[.0-9]/.test(text)) return null;
    try {
      return readQuantity(text, unit);
    } catch (error) {
      if (error.message.endsWith("beyond floats")) throw error;
      return null;
    }
  }
  const number = Number(text);
  if (!Number.isFinite(number)) throw new RangeError(`'${text.slice(0, 60)}' is beyond floats`);
  if (WHOLE.test(text) && !Number.isSafeInteger(number)) {
    throw new RangeError(`${text.slice(0, 60)} has more digits than a browser can send exactly`);
  }
  return number;
}

/** The types in words, with an example that fits what was typed. */
function expected(text, types, unit) {
  const words = typeNames(types);
  if (types.has("array") || types.has("object")) return `${words} in JSON`;
  if (unit) return `${words} such as ${exampleOf(unit)}`;
  if (isOnly(types, "boolean")) return `${words}: on or off`;
  const quantity = knownQuantity(text);
  return quantity === null ? words : `${words} without a unit, such as ${numberText(quantity)}`;
}

function isOnly(types, type) {
  return types.size === 1 && types.has(type);
}
