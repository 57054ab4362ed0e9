/**
 * JSON Merge Patch (RFC 7386): how the server tells what has changed in a state.
 */

/** The value that a patch makes of another; neither of the two is changed. */
export function mergePatch(target, patch) {
  if (!isObject(patch)) return patch;
  const merged = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else define(merged, name, mergePatch(merged[name], value));
  }
  return merged;
}

/** Whether a value is a JSON object. */
export function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Set a member of any name: `__proto__` is one like the others here. */
function define(object, name, value) {
  Object.defineProperty(object, name, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}
