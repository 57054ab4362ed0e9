/**
 * The history: exchanges that have ended, live, with filters, a plot over time, and a file to keep.
 */

import { ConnectionLost } from "./connection.js";
import { el, setText } from "./dom.js";
import { timeText } from "./instrument_card.js";
import { Plot } from "./plot.js";
import { numbersIn } from "./value_view.js";
import { quantityParts } from "./units.js";

const PAGE = 50; // exchanges that are fetched at once
const MOST_ROWS = 500;
const SINCE = [
  ["", "ever"],
  ["3600", "the last hour"],
  ["86400", "the last day"],
  ["604800", "the last week"],
];
const TIME = "exchange time";
const SHOWN_AFTER = 100; // ms

/** The section of the page with the journal. */
export class History {
  #lab;
  #onUse;
  #entries = [];
  #fresh = [];
  #seen = [];
  #timer = null;
  #command;
  #failed;
  #rid;
  #since;
  #names = el("datalist", { id: "history-names" });
  #body = el("tbody", {});
  #more = el(
    "button",
    { type: "button", class: "quiet", onclick: () => this.#fetchOlder() },
    "Show older ones",
  );
  #csv = el(
    "a",
    { class: "button", download: "history.csv", href: "history.csv" },
    "Download as CSV",
  );
  #note = el("p", { class: "note", role: "status" });
  #quantity = el("select", { id: "history-quantity", onchange: () => this.#plotAll() });
  #plot = new Plot("numbers of the history against time");
  #asked = 0;
  #samples;

  /** `onUse(exchange)` opens the form of an exchange's command; `samples` are the states' numbers. */
  constructor(lab, samples, onUse) {
    this.#lab = lab;
    this.#samples = samples;
    this.#onUse = onUse;
    this.element = this.#build();
    lab.addEventListener("live", ({ detail }) => this.#fetch(detail));
    lab.addEventListener("exchange", ({ detail: { exchange } }) => this.#add(exchange));
    lab.addEventListener("description", () => this.#nameCommands());
    samples.addEventListener("change", () => this.#plotSamples());
  }

  #build() {
    this.#command = el("input", {
      type: "text",
      id: "history-command",
      list: "history-names",
      autocomplete: "off",
      spellcheck: "false",
    });
    this.#rid = el("input", {
      type: "text",
      id: "history-rid",
      inputmode: "numeric",
      autocomplete: "off",
    });
    this.#failed = el("input", { type: "checkbox", id: "history-failed" });
    this.#since = el(
      "select",
      { id: "history-since" },
      ...SINCE.map(([value, text]) => el("option", { value }, text)),
    );
    const filters = el(
      "form",
      { class: "filters", "aria-label": "which exchanges" },
      field("Command", this.#command, this.#names),
      field("RID", this.#rid),
      field("Since", this.#since),
      el(
        "div",
        { class: "tick" },
        this.#failed,
        el("label", { for: "history-failed" }, "failures only"),
      ),
      this.#csv,
    );
    filters.addEventListener("submit", (event) => event.preventDefault());
    filters.addEventListener("change", () => this.#fetch());
    const heads = ["Time", "Instrument", "Command", "Parameters", "Outcome", "Took", "By", ""];
    return el(
      "section",
      { class: "history", "aria-labelledby": "history-title" },
      el("h2", { id: "history-title" }, "History"),
      filters,
      this.#note,
      el("div", { class: "plotted" }, field("Plot", this.#quantity), this.#plot.element),
      el(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "exchanges" },
        el(
          "table",
          { class: "exchanges" },
          el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
          this.#body,
        ),
      ),
      this.#more,
    );
  }

  /** What the filters ask for, as `link.history` takes it; null where the RID is no number. */
  #filter() {
    const rid = this.#rid.value.trim();
    if (rid && !/^\d{1,15}$/.test(rid)) {
      setText(this.#note, "A RID is a whole number.");
      return null;
    }
    return {
      ...(this.#command.value.trim() && { command: this.#command.value.trim() }),
      ...(rid && { rid: Number(rid) }),
      ...(this.#since.value && { since: Number(this.#since.value) }),
      ...(this.#failed.checked && { failed: true }),
    };
  }

  async #fetch() {
    const filter = this.#filter();
    if (!filter) return;
    this.#asked += 1;
    const asked = this.#asked;
    this.#linkCsv(filter);
    const listed = await this.#list({ ...filter, limit: PAGE });
    if (!listed || asked !== this.#asked) return;
    const known = this.#keepsFile
      ? listed
      : this.#seen.filter((exchange) => passes(exchange, filter));
    this.#entries = united(
      known,
      this.#fresh.filter((exchange) => passes(exchange, filter)),
    );
    this.#fresh = [];
    this.#more.hidden = listed.length < PAGE;
    this.#showAll();
  }

  async #fetchOlder() {
    const filter = this.#filter();
    const before = this.#entries.find(({ n }) => n !== undefined)?.n;
    if (!filter || before === undefined) return;
    const listed = await this.#list({ ...filter, before, limit: PAGE });
    if (!listed) return;
    this.#entries = [...listed, ...this.#entries].slice(0, MOST_ROWS);
    this.#more.hidden = listed.length < PAGE || this.#entries.length >= MOST_ROWS;
    this.#showAll();
  }

  async #list(which) {
    try {
      return await this.#lab.look(which);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) setText(this.#note, error.message);
      return null;
    }
  }

  /** An exchange has ended: it is shown where the filters let it through. */
  #add(exchange) {
    this.#seen = [...this.#seen.slice(-MOST_ROWS + 1), exchange];
    const filter = this.#filter();
    if (!filter || !passes(exchange, filter)) return;
    this.#fresh = [...this.#fresh.slice(-MOST_ROWS + 1), exchange];
    // Many come at once where an experiment is fast: they are shown together.
    this.#timer ??= setTimeout(() => this.#showFresh(), SHOWN_AFTER);
  }

  #showFresh() {
    const before = this.#entries.length;
    const all = united(this.#entries, this.#fresh);
    this.#fresh = [];
    this.#timer = null;
    this.#entries = all.slice(-MOST_ROWS);
    for (const exchange of all.slice(before)) {
      this.#body.prepend(this.#row(exchange));
      this.#body.firstChild.classList.add("changed");
    }
    while (this.#body.children.length > MOST_ROWS) this.#body.lastChild.remove();
    this.#sayHowMany();
    this.#plotAll();
  }

  /** Whether the server remembers more than this page does. */
  get #keepsFile() {
    return this.#lab.status?.journal?.kept !== "in memory";
  }

  #showAll() {
    this.#body.replaceChildren(
      ...[...this.#entries].reverse().map((exchange) => this.#row(exchange)),
    );
    this.#sayHowMany();
    this.#plotAll();
  }

  #sayHowMany() {
    const nothing = this.#entries.length
      ? ""
      : "No exchanges yet, or none that the filters let through. ";
    const noFile = this.#keepsFile
      ? ""
      : "The server keeps no journal: here is what came since this page was opened.";
    setText(this.#note, nothing + noFile);
  }

  #row(exchange) {
    const { received, instrument, command, parameters, outcome, code, error, owner, rid, peer } =
      exchange;
    const isDone = outcome === "done";
    const took = secondsOf(exchange);
    const given = parametersText(parameters);
    return el(
      "tr",
      { class: isDone ? null : "failed" },
      el("td", { class: "number" }, timeText(received)),
      el("td", {}, instrument ?? ""),
      el("td", {}, command ?? ""),
      el("td", { class: "parameters", title: given }, given),
      el("td", { class: "outcome" }, isDone ? "done" : `${outcome}: ${error ?? code ?? ""}`),
      el("td", { class: "number" }, took === null ? "" : shortTime(took)),
      el(
        "td",
        {},
        [owner, rid !== undefined && `RID ${rid}`].filter(Boolean).join(", ") || (peer ?? ""),
      ),
      el(
        "td",
        {},
        parameters &&
          !/^link\./.test(command) &&
          this.#lab.instrumentFor(exchange) &&
          el(
            "button",
            {
              type: "button",
              class: "quiet",
              "aria-label": `Use ${command} again`,
              onclick: () => this.#onUse(exchange),
            },
            "Use",
          ),
      ),
    );
  }

  #linkCsv(filter) {
    const { failed, since, ...rest } = filter;
    const query = new URLSearchParams({
      ...rest,
      ...(since && { since: `${since}s` }),
      ...(failed && { failed: "1" }),
    });
    this.#csv.href = `history.csv${query.size ? `?${query}` : ""}`;
  }

  #nameCommands() {
    const names = new Set();
    for (const [instrument, { commands }] of Object.entries(this.#lab.description.instruments)) {
      for (const command of Object.keys(commands ?? {}))
        names.add(command).add(`${instrument}.${command}`);
    }
    this.#names.replaceChildren(...[...names].sort().map((value) => el("option", { value })));
  }

  /** Offer every number that the exchanges and states have, and plot the chosen one. */
  #plotAll() {
    const series = new Map([[TIME, []]]);
    for (const exchange of this.#entries) {
      const took = secondsOf(exchange);
      if (took !== null)
        series
          .get(TIME)
          .push([exchange.received, took, exchange.outcome === "done" ? null : "failed"]);
      const prefix = exchange.command;
      if (/^link\./.test(prefix)) continue; // leases have numbers that are no quantities
      for (const [path, value] of [
        ...numbersIn(exchange.parameters, `${prefix}: parameters`),
        ...numbersIn(exchange.result, `${prefix}: result`),
      ]) {
        if (!series.has(path)) series.set(path, []);
        series.get(path).push([exchange.received, value]);
      }
    }
    for (const [path, points] of this.#samples.series) series.set(path, points);
    const chosen = this.#quantity.value || TIME;
    if (
      [...this.#quantity.options].map(({ value }) => value).join() !== [...series.keys()].join()
    ) {
      this.#quantity.replaceChildren(
        ...[...series.keys()].map((path) => el("option", { value: path }, path)),
      );
    }
    this.#quantity.value = series.has(chosen) ? chosen : TIME;
    const isTime = this.#quantity.value === TIME;
    const isState = this.#samples.series.has(this.#quantity.value);
    const points = [...series.get(this.#quantity.value)].sort((a, b) => a[0] - b[0]);
    this.#plot.show(points, {
      x: { clock: true },
      y: {
        unit: isTime ? "s" : this.#samples.unitOf(this.#quantity.value),
        ...(isTime && { lowest: 0 }),
      },
      shape: isState ? "steps" : "dots",
    });
  }

  #plotSamples() {
    const isOffered = [...this.#samples.series.keys()].every((path) =>
      [...this.#quantity.options].some(({ value }) => value === path),
    );
    if (!isOffered || this.#samples.series.has(this.#quantity.value)) this.#plotAll();
  }
}

function field(name, entry, ...more) {
  return el("div", { class: "field" }, el("label", { for: entry.id }, name), entry, ...more);
}

/** What was listed, and behind it what was told meanwhile and is not among it. */
function united(listed, told) {
  const nameOf = ({ received, command, id, peer }) =>
    JSON.stringify([received, command, id, peer]);
  const names = new Set(listed.map(nameOf));
  return [...listed, ...told.filter((exchange) => !names.has(nameOf(exchange)))];
}

/** Whether the filters let an exchange through. */
function passes({ outcome, command, rid, received }, filter) {
  return (
    !(filter.failed && outcome === "done") &&
    (!filter.command || command === filter.command) &&
    (filter.rid === undefined || rid === filter.rid) &&
    (!filter.since || received >= Date.now() / 1000 - filter.since)
  );
}

/** How long an exchange took, waiting included, in s; null where nothing was measured. */
function secondsOf({ queue, duration }) {
  if (typeof queue !== "number" && typeof duration !== "number") return null;
  return (queue ?? 0) + (duration ?? 0);
}

function shortTime(seconds) {
  const { number, unit } = quantityParts(seconds, "s", 3);
  return `${number} ${unit}`;
}

function parametersText(parameters) {
  return Object.entries(parameters ?? {})
    .map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(" ");
}
