/**
 * Any JSON value as elements: numbers with their units, lists as tables, arrays as pictures.
 */

import { arrayOf, rowOf } from "./arrays.js";
import { el, flash, setText } from "./dom.js";
import { isObject } from "./merge_patch.js";
import { Plot } from "./plot.js";
import { quantityParts, writeQuantity } from "./units.js";

const DIGITS = 10; // more is noise on a screen; the title has them all
const MOST_ROWS = 200;
const RESTLESS = 1500; // ms; what changes more often than this moves, and does not light up

/** The units of members by their names, as far as an instrument's description is of one mind. */
export function unitsOf(description) {
  const units = new Map();
  const note = (name, unit) => {
    if (unit) units.set(name, units.has(name) && units.get(name) !== unit ? "" : unit);
  };
  const search = (schema) => {
    if (Array.isArray(schema)) schema.forEach(search);
    if (!isObject(schema)) return;
    for (const [name, member] of Object.entries(schema.properties ?? {})) {
      note(name, member.unit);
    }
    Object.values(schema).forEach(search);
  };
  for (const command of Object.values(description?.commands ?? {})) {
    command.parameters.forEach(({ name, unit, schema }) => {
      note(name, unit);
      search(schema);
    });
    search(command.result?.schema);
  }
  for (const [name, { result }] of Object.entries(description?.readings ?? {})) {
    note(name, result?.unit);
    search(result?.schema);
  }
  // What is said of the state itself counts before what its commands call so.
  for (const [name, unit] of Object.entries(description?.state_units ?? {})) units.set(name, unit);
  return units;
}

/** A plain value in words: `80.00000007 MHz`, `on`, `unknown`. */
export function plainText(value, unit = "") {
  if (value === null || value === undefined) return "unknown";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value === "number") {
    const parts = quantityParts(value, unit, DIGITS);
    return `${parts.number} ${parts.unit}`.trim();
  }
  return String(value);
}

/** An element for a plain value, which lights up where it changes; `digits` are those shown. */
export class PlainValue {
  #number = el("span", { class: "number" });
  #unit = el("span", { class: "unit" });
  #shown = null;
  #changed = -Infinity;

  constructor(unit = "", digits = DIGITS) {
    this.unit = unit;
    this.digits = digits;
    this.element = el("span", { class: "value" }, this.#number, " ", this.#unit);
  }

  show(value) {
    const isNumber = typeof value === "number";
    const parts = isNumber
      ? quantityParts(value, this.unit, this.digits)
      : { number: plainText(value), unit: "" };
    const text = `${parts.number} ${parts.unit}`;
    if (text === this.#shown) return;
    setText(this.#number, parts.number);
    setText(this.#unit, parts.unit);
    this.element.title = isNumber ? writeQuantity(value, this.unit) : "";
    this.element.classList.toggle("unknown", value === null || value === undefined);
    const now = performance.now();
    if (this.#shown !== null) {
      if (now - this.#changed > RESTLESS) flash(this.element);
      this.#changed = now;
    }
    this.#shown = text;
  }
}

/** The state of an instrument of any kind, member by member. */
export class StateView {
  #units;
  #leaves = new Map();
  #shape = null;
  #plots = [];

  constructor(units) {
    this.#units = units;
    this.element = el("div", { class: "state" });
  }

  show(state) {
    const shape = shapeOf(state);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#leaves.clear();
      this.#plots = [];
      this.element.replaceChildren(this.#build(state, "", ""));
    }
    this.#update(state, "");
  }

  #build(value, path, name) {
    if (rowOf(value) && (arrayOf(value) || value.length > 8)) {
      const plot = new Plot(name || "the state");
      this.#plots.push([path, plot]);
      return plot.element;
    }
    if (isObject(value) && !arrayOf(value)) {
      const entries = Object.entries(value);
      return el(
        "dl",
        {},
        ...entries.map(([key, member]) =>
          el(
            "div",
            { class: isLeaf(member) ? null : "group" },
            el("dt", {}, labelOf(key)),
            el("dd", {}, this.#build(member, `${path}/${key}`, key)),
          ),
        ),
      );
    }
    if (Array.isArray(value)) {
      const items = value.map((item, index) =>
        el("li", {}, this.#build(item, `${path}/${index}`, name)),
      );
      return items.length
        ? el("ol", { start: 0 }, ...items)
        : el("span", { class: "note" }, "none");
    }
    const leaf = new PlainValue(this.#units.get(name) ?? "");
    this.#leaves.set(path, leaf);
    return leaf.element;
  }

  #update(value, path) {
    const leaf = this.#leaves.get(path);
    if (leaf) {
      leaf.show(arrayOf(value) ? arrayText(value) : value);
      return;
    }
    const plot = this.#plots.find(([plotted]) => plotted === path);
    if (plot) plot[1].show(pointsOf(rowOf(value)));
    else
      Object.entries(value ?? {}).forEach(([key, member]) =>
        this.#update(member, `${path}/${key}`),
      );
  }
}

/** A value that stays as it is, such as a reply's result. */
export function valueElement(value, units, name = "") {
  const row = rowOf(value);
  if (row && (arrayOf(value) || row.length > 8)) {
    const plot = new Plot(name || "the result");
    plot.show(pointsOf(row));
    return el("div", {}, plot.element, el("p", { class: "note" }, `${row.length} numbers`));
  }
  if (arrayOf(value)) return el("span", { class: "value" }, arrayText(value));
  if (
    Array.isArray(value) &&
    value.length &&
    value.every((item) => isObject(item) && !arrayOf(item))
  ) {
    return tableElement(value, units);
  }
  const view = new StateView(units);
  view.show(name && isLeaf(value) ? { [name]: value } : value);
  return view.element;
}

/** Objects as the rows of a table. */
function tableElement(rows, units) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const cell = (value, name) =>
    el(
      "td",
      {},
      isLeaf(value)
        ? value === undefined
          ? ""
          : plainText(value, units.get(name) ?? "")
        : JSON.stringify(value),
    );
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "table of the result" },
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, labelOf(name)))),
      ),
      el(
        "tbody",
        {},
        ...rows
          .slice(0, MOST_ROWS)
          .map((row) => el("tr", {}, ...names.map((name) => cell(row[name], name)))),
      ),
    ),
    rows.length > MOST_ROWS && el("p", { class: "note" }, `and ${rows.length - MOST_ROWS} more`),
  );
}

/** The numbers in a value, each with its path: `[["result.frequency", 80e6]]`. */
export function numbersIn(value, path) {
  if (typeof value === "number") return [[path, value]];
  if (!isObject(value) && !(Array.isArray(value) && value.length <= 16)) return [];
  if (arrayOf(value)) return [];
  return Object.entries(value).flatMap(([key, member]) => numbersIn(member, `${path}.${key}`));
}

/** A member's name for people: `phase_mode` is `phase mode`. */
export function labelOf(name) {
  return String(name).replaceAll("_", " ");
}

function isLeaf(value) {
  return value === null || typeof value !== "object";
}

function arrayText(value) {
  return `array of ${arrayOf(value).shape.join(" × ")}`;
}

function pointsOf(row) {
  return Array.from(row, (number, index) => [index, number]);
}

/** What two values have in common that are shown by the same elements. */
function shapeOf(value) {
  if (rowOf(value) && (arrayOf(value) || value.length > 8)) return "row";
  if (arrayOf(value)) return "value";
  if (Array.isArray(value)) return `[${value.map(shapeOf).join()}]`;
  if (isObject(value)) {
    const members = Object.entries(value).map(
      ([key, member]) => `${JSON.stringify(key)}:${shapeOf(member)}`,
    );
    return `{${members.join()}}`;
  }
  return "value";
}
