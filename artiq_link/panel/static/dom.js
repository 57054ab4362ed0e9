/**
 * Elements of the page: made by names, with text that is never read as HTML.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element: `el("button", {type: "button", onclick: stop}, "Stop")`.
 *
 * Members that begin with `on` are listeners; `true` sets an attribute without a value; false, null
 * and undefined leave it out. Children are elements or texts; those that are null or false are left
 * out.
 */
export function el(name, attributes = {}, ...children) {
  return finish(document.createElement(name), attributes, children);
}

/** Make an element of an SVG picture, as `el` does. */
export function svg(name, attributes = {}, ...children) {
  return finish(document.createElementNS(SVG, name), attributes, children);
}

/** Set an element's text; nothing is touched where it is the same, so that a selection stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set the class of an element, or take it away. */
export function setClass(element, name, on) {
  element.classList.toggle(name, Boolean(on));
}

/** Let an element light up for a moment: what it shows has changed. */
export function flash(element) {
  element.classList.remove("changed");
  // Reading the layout has the browser begin the animation anew.
  void element.getBoundingClientRect();
  element.classList.add("changed");
}

let count = 0;

/** An id that no other element of the page has. */
export function uniqueId(prefix) {
  count += 1;
  return `${prefix}-${count}`;
}

function finish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}
