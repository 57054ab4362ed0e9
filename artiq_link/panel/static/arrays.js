/**
 * Arrays as the server sends them in JSON: `{"__jsonclass__": ["nparray", [shape, dtype, base64]]}`.
 */

const READERS = {
  f8: [8, "getFloat64"],
  f4: [4, "getFloat32"],
  i1: [1, "getInt8"],
  i2: [2, "getInt16"],
  i4: [4, "getInt32"],
  u1: [1, "getUint8"],
  u2: [2, "getUint16"],
  u4: [4, "getUint32"],
  i8: [8, "getBigInt64"],
  u8: [8, "getBigUint64"],
  b1: [1, "getUint8"],
};

/** The shape and elements of an array, `{shape, values}`; null for what is none. */
export function arrayOf(value) {
  const [kind, parts] = value?.__jsonclass__ ?? [];
  if (kind !== "nparray") return null;
  const [shape, dtype, text] = parts;
  const [size, read] = READERS[dtype.slice(1)] ?? [];
  if (!read || typeof text !== "string") return { shape, values: null };
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const values = new Float64Array(bytes.length / size);
  for (let i = 0; i < values.length; i += 1) {
    values[i] = Number(view[read](i * size, dtype[0] !== ">"));
  }
  return { shape, values };
}

/** The numbers of a value that is a row of them, as an array or a list; null otherwise. */
export function rowOf(value) {
  const array = arrayOf(value);
  if (array) return array.shape.length === 1 ? array.values : null;
  const isRow = Array.isArray(value) && value.length > 1 && value.every(Number.isFinite);
  return isRow ? Float64Array.from(value) : null;
}
