/**
 * The DDS's tile: what each channel puts out, what runs on it, and pictures of ramp, table and wave.
 *
 * Everything is drawn from what the instrument tells: a ramp from its state, a table from the reply to
 * the `play` that started it, the wave from the command `waveform`.
 */

import { rowOf } from "./arrays.js";
import { el, flash, setClass, setText } from "./dom.js";
import { Plot } from "./plot.js";
import { plainText, PlainValue } from "./value_view.js";

const UNITS = { frequency: "Hz", phase: "turns", amplitude: "of full scale", power: "dBm" };
const DIGITS = { frequency: 10, phase: 5, amplitude: 5, power: 5 }; // that a card has room for
const ACTIVITIES = { single_tone: "tone", ramp: "ramp", table: "table" };

const SAMPLES = 512; // of a wave
const PERIODS = 4;
const SLOWEST = 1; // samples a second, as `waveform` takes them
const STEPS_BACK = 50; // exchanges among which a table's reply is looked for

/** The tile of an instrument with the commands of a DDS. */
export function ddsTile(context) {
  const channels = new Map();
  const element = el("div", { class: "channels" });
  const tables = new Tables(context, (table) =>
    channels.forEach((channel) => channel.showTable(table)),
  );
  return {
    element,
    show(state) {
      const shown = Object.values(state ?? {});
      if (shown.length !== channels.size || !shown.every(({ name }) => channels.has(name))) {
        channels.clear();
        shown.forEach((channel) =>
          channels.set(channel.name, new Channel(context, channel, tables)),
        );
        element.replaceChildren(...[...channels.values()].map((channel) => channel.element));
      }
      shown.forEach((channel) => channels.get(channel.name).show(channel));
    },
  };
}

/** The tables that were played last, as the replies to `play` tell them. */
class Tables {
  #context;
  #onTable;
  #isAsked = false;
  #known = [];

  constructor(context, onTable) {
    this.#context = context;
    this.#onTable = onTable;
    context.onExchange((exchange) => this.#note(exchange));
  }

  /** The newest table of a channel; one from before this page is looked for in the history. */
  of(channel) {
    if (!this.#isAsked) {
      this.#isAsked = true;
      this.#look().catch(() => (this.#isAsked = false));
    }
    const isOf = ({ parameters }) =>
      [channel.channel, channel.name, String(channel.channel)].includes(parameters.channel);
    return this.#known.findLast(isOf)?.result ?? null;
  }

  async #look() {
    const which = { command: this.#context.commandId("play"), limit: STEPS_BACK };
    const listed = await this.#context.lab.look(which);
    listed.forEach((exchange) => this.#note(exchange));
  }

  #note(exchange) {
    if (!/(^|\.)play$/.test(exchange.command) || exchange.outcome !== "done") return;
    if (!exchange.parameters || !exchange.result?.steps) return;
    if (exchange.instrument !== this.#context.instrument.name) return;
    this.#known = [
      ...this.#known.filter(({ received }) => received !== exchange.received),
      exchange,
    ]
      .sort((a, b) => a.received - b.received)
      .slice(-STEPS_BACK);
    this.#onTable();
  }
}

/** One channel's part of the tile. */
class Channel {
  #context;
  #tables;
  #values = {};
  #lamp = el("span", { class: "lamp" });
  #activity = el("span", { class: "activity" });
  #bar = el("progress", { max: 1, hidden: true });
  #far = el("span", { class: "far" });
  #limits = el("span", { class: "note limits" });
  #picture = new Plot("");
  #wave = new Plot("");
  #waveButton;
  #shown = null;

  constructor(context, { name, channel }, tables) {
    this.#context = context;
    this.#tables = tables;
    this.#picture.element.hidden = true;
    this.#wave.element.hidden = true;
    const { description, mayControl } = context.instrument;
    const mayAsk = mayControl && "waveform" in (description?.commands ?? {});
    this.#waveButton = el(
      "button",
      {
        type: "button",
        class: "quiet",
        onclick: () => this.#showWave(),
        "aria-label": `Show the wave of ${name}`,
      },
      "Wave",
    );
    this.element = el(
      "section",
      { class: "channel", "aria-label": `channel ${name}` },
      el(
        "header",
        {},
        el("h3", {}, name, name === `ch${channel}` ? null : el("small", {}, ` ${channel}`)),
        this.#lamp,
        this.#activity,
        mayAsk && this.#waveButton,
      ),
      (this.tone = el("dl", { class: "tone" })),
      el("div", { class: "running" }, this.#bar, this.#far),
      this.#picture.element,
      this.#wave.element,
      this.#limits,
    );
    this.#picture.element.dataset.kind = "running";
    this.#wave.element.dataset.kind = "wave";
  }

  show(channel) {
    this.#shown = channel;
    for (const [name, unit] of Object.entries(UNITS)) {
      if (!(name in channel)) continue;
      if (!this.#values[name]) {
        this.#values[name] = new PlainValue(unit, DIGITS[name]);
        const entry = el(
          "div",
          { class: name },
          el("dt", {}, name),
          el("dd", {}, this.#values[name].element),
        );
        this.tone.append(entry);
      }
      this.#values[name].show(channel[name]);
    }
    this.#showOutput(channel.output);
    const activity =
      channel.activity === null ? "unknown" : (ACTIVITIES[channel.activity] ?? channel.activity);
    setText(
      this.#activity,
      channel.phase_mode === "absolute" ? `${activity}, phase absolute` : activity,
    );
    setText(this.#limits, limitsText(channel.limits));
    this.#showRunning(channel);
  }

  /** A table's reply has come: it may be that of what runs here. */
  showTable() {
    if (this.#shown) this.#showRunning(this.#shown);
  }

  #showOutput(on) {
    const text =
      on === null || on === undefined ? "output unknown" : `output ${on ? "on" : "off"}`;
    if (this.#lamp.textContent && this.#lamp.textContent !== text) flash(this.#lamp);
    setText(this.#lamp, text);
    setClass(this.#lamp, "on", on === true);
    setClass(this.#lamp, "unknown", on === null || on === undefined);
  }

  #showRunning(channel) {
    const { running } = channel;
    this.#bar.hidden = typeof running?.fraction !== "number";
    if (!this.#bar.hidden) this.#bar.value = running.fraction;
    this.#bar.setAttribute("aria-label", `progress of ${channel.name}`);
    setText(this.#far, running ? farText(running) : "");
    const picture = running ? this.#pictureOf(channel) : null;
    this.#picture.element.hidden = picture === null;
    if (picture) {
      this.#picture.label = `${picture.of} against time`;
      this.#picture.show(picture.points, picture);
    }
  }

  /** What runs as points against time; null where it is not known. */
  #pictureOf(channel) {
    const { running } = channel;
    const x = { unit: "s" };
    if (running.parameter && running.duration) {
      const points = [
        [0, running.start],
        [running.duration, running.stop],
      ];
      return {
        of: running.parameter,
        points,
        x,
        y: { unit: UNITS[running.parameter] },
        now: running.elapsed,
      };
    }
    const table = this.#tables.of(channel);
    return table && tablePicture(table, running, x);
  }

  async #showWave() {
    if (!this.#wave.element.hidden) {
      this.#wave.element.hidden = true;
      return;
    }
    const { channel, name, frequency } = this.#shown;
    const rate = Math.max(SLOWEST, ((frequency || 1) * SAMPLES) / PERIODS);
    this.#wave.element.hidden = false;
    try {
      const result = await this.#context.look("waveform", { channel, samples: SAMPLES, rate });
      const points = Array.from(rowOf(result), (value, index) => [index / rate, value]);
      this.#wave.label = `wave of ${name}, of full scale, against time`;
      this.#wave.show(points, { x: { unit: "s" }, y: { lowest: -1, highest: 1 } });
    } catch (error) {
      this.#wave.element.replaceChildren(el("p", { class: "refusal" }, error.message));
    }
  }
}

/** A table's steps against time: of what they change first; null where a step waits for a trigger. */
function tablePicture({ steps }, running, x) {
  if (steps.length !== running.steps || steps.some(({ dwell }) => !dwell)) return null;
  const names = Object.keys(UNITS).filter((name) =>
    steps.some((step) => typeof step[name] === "number"),
  );
  const of = names.find((name) => steps.some((step) => step[name] !== steps[0][name])) ?? names[0];
  if (!of) return null;
  let time = 0;
  const points = steps.map((step) => {
    const point = [time, step[of]];
    time += step.dwell;
    return point;
  });
  points.push([time, steps[steps.length - 1][of]]);
  const elapsed = typeof running.elapsed === "number" ? running.elapsed % time : null;
  return {
    of,
    points: points.filter(([, value]) => typeof value === "number"),
    x,
    y: { unit: UNITS[of] },
    shape: "steps",
    now: elapsed,
  };
}

/** How far it is: `12.0 of 30.0 s`, `step 3 of 16, pass 2 of 10`. */
function farText({ elapsed, duration, step, steps, passes, repeat }) {
  const parts = [];
  if (typeof elapsed === "number") {
    parts.push(
      duration
        ? `${elapsed.toFixed(1)} of ${duration.toFixed(1)} s`
        : `for ${elapsed.toFixed(1)} s now`,
    );
  }
  if (steps)
    parts.push(
      typeof step === "number"
        ? `step ${step + 1} of ${steps}`
        : `${steps} steps, waiting for triggers`,
    );
  if (typeof passes === "number" && repeat !== 1)
    parts.push(`pass ${passes + 1}${repeat ? ` of ${repeat}` : ", until it is stopped"}`);
  return parts.join(", ");
}

function limitsText(limits) {
  if (!limits) return "";
  const range = (name, of) => {
    const unit = of === "of full scale" ? "" : of; // it stands beside the amplitude
    const [lowest, highest] = [limits[`min_${name}`], limits[`max_${name}`]];
    if (highest === undefined || highest === null) return "";
    return lowest === undefined || lowest === null
      ? `${name} up to ${plainText(highest, unit)}`
      : `${plainText(lowest, unit)} to ${plainText(highest, unit)}`;
  };
  const ranges = Object.entries(UNITS).map(([name, unit]) => range(name, unit));
  const text = ranges.filter(Boolean).join("; ");
  return text && `limits: ${text}`;
}
