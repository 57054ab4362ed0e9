/**
 * The fields of a form, one for each parameter: made from its JSON Schema, its unit and its default.
 *
 * A field has an `element`, a `value()`, which is undefined where nothing was given and throws
 * RangeError where what was typed is none, a `fill(value)`, and `refuse(sentence, where)`, which shows
 * at the field what is wrong with it.
 */

import { el, setText, uniqueId } from "./dom.js";
import { choicesOf, columnsOf, typesOf, typeText } from "./schema.js";
import { readTyped } from "./typed_text.js";
import { exampleOf, writeQuantity } from "./units.js";
import { labelOf } from "./value_view.js";

/** The field for a parameter; `suggestions` are values that people will want. */
export function fieldFor(parameter, suggestions = []) {
  const columns = columnsOf(parameter.schema);
  if (columns) return new TableField(parameter, columns);
  return new SingleField(parameter, suggestions);
}

/** What frames an entry: the label above it, what it takes below, and what is wrong with it. */
class Field {
  constructor(parameter) {
    this.parameter = parameter;
    this.id = uniqueId("field");
    this.error = el("p", { class: "refusal", id: `${this.id}-error`, role: "alert" });
  }

  frame(entry, { label = true } = {}) {
    const { name, required, unit } = this.parameter;
    const heading = [labelOf(name), unit && " ", unit && el("span", { class: "unit" }, unit)];
    const hint = el("p", { class: "hint", id: `${this.id}-hint` }, this.hint());
    this.element = el(
      label ? "div" : "fieldset",
      { class: "field" },
      label ? el("label", { for: this.id }, ...heading) : el("legend", {}, ...heading),
      !required && el("span", { class: "optional" }, "optional"),
      entry,
      this.error,
      hint,
    );
  }

  hint() {
    const { schema, required } = this.parameter;
    const initial = this.parameter.default;
    const description = schema.description ?? "";
    const byDefault =
      !required && initial !== null && initial !== undefined
        ? `${this.shown(initial)} unless given`
        : "";
    return [description, choicesOf(schema) ? "" : typeText(schema), byDefault]
      .filter(Boolean)
      .join("; ");
  }

  shown(value) {
    const { unit } = this.parameter;
    return typeof value === "number" && unit ? writeQuantity(value, unit) : typedText(value);
  }

  refuse(sentence) {
    setText(this.error, sentence);
    this.element.classList.toggle("refused", Boolean(sentence));
  }
}

/** A text, or a choice. */
class SingleField extends Field {
  constructor(parameter, suggestions) {
    super(parameter);
    this.choices = choicesOf(parameter.schema);
    this.entry = entryFor(parameter, this.choices, suggestions, this.id);
    this.entry.setAttribute("aria-describedby", `${this.id}-hint ${this.id}-error`);
    const list = this.entry.getAttribute("list");
    this.frame(
      list
        ? el(
            "span",
            {},
            this.entry,
            el("datalist", { id: list }, ...suggestions.map((value) => el("option", { value }))),
          )
        : this.entry,
    );
  }

  value() {
    return entered(this.entry, this.parameter, this.choices);
  }

  fill(value) {
    fillEntry(this.entry, value, this.parameter, this.choices);
  }

  refuse(sentence) {
    super.refuse(sentence);
    this.entry.toggleAttribute("aria-invalid", Boolean(sentence));
  }
}

/** A list of objects, a row each. */
class TableField extends Field {
  constructor(parameter, columns) {
    super(parameter);
    this.columns = columns;
    this.rows = el("tbody", {});
    const add = el(
      "button",
      { type: "button", class: "quiet", onclick: () => this.addRow() },
      "Add a row",
    );
    const headings = columns.map(({ name, unit, required }) =>
      el(
        "th",
        { scope: "col" },
        labelOf(name),
        unit && " ",
        unit && el("span", { class: "unit" }, unit),
        required && " *",
      ),
    );
    this.frame(
      el(
        "div",
        { class: "scroll" },
        el(
          "table",
          { class: "rows" },
          el(
            "thead",
            {},
            el("tr", {}, el("th", { scope: "col" }, "#"), ...headings, el("th", {})),
          ),
          this.rows,
        ),
        add,
      ),
      { label: false },
    );
    this.addRow({}, false);
  }

  addRow(values = {}, focus = true) {
    const number = this.rows.children.length;
    const entries = this.columns.map((column) => {
      const choices = choicesOf(column.schema);
      const entry = entryFor(column, choices, [], uniqueId("cell"));
      entry.setAttribute("aria-label", `${labelOf(column.name)} of row ${number}`);
      if (column.name in values) fillEntry(entry, values[column.name], column, choices);
      return entry;
    });
    const row = el(
      "tr",
      {},
      el("th", { scope: "row" }, String(number)),
      ...entries.map((entry) => el("td", {}, entry)),
      el(
        "td",
        {},
        el(
          "button",
          {
            type: "button",
            class: "quiet",
            "aria-label": `Remove row ${number}`,
            onclick: () => this.removeRow(row),
          },
          "×",
        ),
      ),
    );
    row.entries = entries;
    this.rows.append(row);
    if (focus) entries[0].focus();
    this.element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  removeRow(row) {
    row.remove();
    [...this.rows.children].forEach((left, number) => setText(left.firstChild, String(number)));
    this.element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  value() {
    const rows = [...this.rows.children].map((row, number) => {
      const given = {};
      this.columns.forEach((column, index) => {
        let value;
        try {
          value = entered(row.entries[index], column, choicesOf(column.schema));
        } catch (error) {
          row.entries[index].setAttribute("aria-invalid", "true");
          throw new RangeError(`row ${number}, ${labelOf(column.name)}: ${error.message}`);
        }
        row.entries[index].removeAttribute("aria-invalid");
        if (value !== undefined) given[column.name] = value;
      });
      return given;
    });
    const isEmpty = rows.every((row) => Object.keys(row).length === 0);
    return isEmpty ? undefined : rows;
  }

  fill(rows) {
    this.rows.replaceChildren();
    rows.forEach((row) => this.addRow(row, false));
  }

  /** Show a refusal; `where` such as `steps[1].dwell` marks the entry. */
  refuse(sentence, where = "") {
    super.refuse(sentence);
    const [, number, name] = /\[(\d+)\](?:\.(\w+))?/.exec(where) ?? [];
    const index = this.columns.findIndex((column) => column.name === name);
    this.rows.children[number]?.entries[index]?.setAttribute("aria-invalid", "true");
  }
}

function entryFor(parameter, choices, suggestions, id) {
  const { schema, unit, required } = parameter;
  if (choices) {
    const names = choices.map((choice) =>
      el("option", { value: String(choice) }, choiceText(choice)),
    );
    return el(
      "select",
      { id },
      el("option", { value: "" }, required ? "choose…" : "not given"),
      ...names,
    );
  }
  const types = typesOf(schema);
  if (types.has("array") || types.has("object")) {
    return el("textarea", { id, rows: 3, spellcheck: "false", placeholder: "JSON" });
  }
  return el("input", {
    id,
    type: "text",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: unit ? exampleOf(unit) : null,
    list: suggestions.length ? `${id}-list` : null,
  });
}

/** What stands in an entry; undefined where nothing does. */
function entered(entry, { schema, unit }, choices) {
  if (entry.value.trim() === "") return undefined;
  if (choices) return choices.find((choice) => String(choice) === entry.value);
  return readTyped(entry.value, schema, unit);
}

function fillEntry(entry, value, { schema, unit }, choices) {
  if (choices) entry.value = value === null ? "" : String(value);
  else if (value === undefined) entry.value = "";
  else if (typeof value === "number" && unit) entry.value = writeQuantity(value, unit);
  else entry.value = typedText(value, schema);
}

/** A value as it can be typed. */
function typedText(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  return /^["[{]|^\s|\s$|^$|^(null|None)$/.test(value) ? JSON.stringify(value) : value;
}

function choiceText(choice) {
  if (typeof choice === "boolean") return choice ? "on" : "off";
  return labelOf(choice);
}
