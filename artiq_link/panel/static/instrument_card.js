/**
 * An instrument's card: its health, who holds it, its state, and its commands.
 */

import { CommandForm, FreeForm } from "./command_form.js";
import { Control } from "./control.js";
import { paragraphs } from "./docstring.js";
import { el, setClass, setText, uniqueId } from "./dom.js";
import { tileFor, TileContext } from "./tiles.js";
import { labelOf } from "./value_view.js";

const FREE = "*"; // the choice of a form for what nobody declares
const NAME = "artiq_link.name"; // under which the browser remembers who sits here

/** The card of one instrument. */
export class InstrumentCard {
  #lab;
  #instrument;
  #control;
  #context;
  #tile;
  #forms = new Map();
  #form = null;
  #health = el("p", { class: "health", role: "status" });
  #activity = el("p", { class: "doing" });
  #bar = el("progress", { max: 1, hidden: true, "aria-label": "progress" });
  #far = el("span", { class: "far" });
  #failure = el("p", { class: "failure" });
  #heard = el("p", { class: "note heard" });
  #lease = el("p", { class: "holder", role: "status" });
  #controlButton = el("button", { type: "button" });
  #reopenButton = el("button", { type: "button", hidden: true }, "Open again");
  #dialog;
  #choice;
  #place = el("div", { class: "form-place" });
  #problem = el("p", { class: "refusal", role: "alert" });

  constructor(lab, instrument, own) {
    this.#lab = lab;
    this.#instrument = instrument;
    this.mayControl = instrument.mayControl;
    this.#control = new Control(lab, instrument.name);
    this.#context = new TileContext({ lab, control: this.#control, instrument });
    this.#tile = tileFor(this.#context, own);
    this.#dialog = new ControlDialog(this.#control, instrument);
    this.#controlButton.addEventListener("click", () => this.#changeControl());
    this.#reopenButton.addEventListener("click", () => this.#reopen());
    this.#control.addEventListener("change", () => this.showHealth());
    this.element = this.#build();
    this.showHealth();
    this.showState();
  }

  get instrument() {
    return this.#instrument;
  }

  /** Whether it is a card with commands, or one for who may only watch. */
  mayControl;

  #build() {
    const { name, description } = this.#instrument;
    const title = uniqueId("card");
    const [first, ...more] = paragraphs(description?.doc);
    const buttons = [this.#controlButton, this.#reopenButton, this.#dialog.element];
    return el(
      "article",
      { class: "card", "aria-labelledby": title, "data-instrument": name },
      el(
        "header",
        {},
        el("h2", { id: title }, name),
        this.#health,
        el("div", { class: "running" }, this.#bar, this.#far),
        this.#activity,
        this.#failure,
      ),
      el(
        "div",
        { class: "control" },
        this.#lease,
        ...(this.mayControl ? buttons : []),
        this.#problem,
      ),
      el("div", { class: "live" }, this.#tile.element, this.#heard),
      this.mayControl &&
        el(
          "section",
          { class: "commands", "aria-label": `commands of ${name}` },
          ...this.#commands(),
        ),
      first && el("details", { class: "about" }, el("summary", {}, ...first.childNodes), ...more),
    );
  }

  #commands() {
    const { name, description } = this.#instrument;
    if (!description) {
      this.#open(FREE);
      return [el("h3", {}, "Commands"), this.#place];
    }
    const choices = Object.keys(description.commands).map((command) => [
      command,
      labelOf(command),
    ]);
    if (this.#hasOthers) choices.push([FREE, "another one, in JSON…"]);
    if (!choices.length) return [el("p", { class: "note" }, "It has no commands.")];
    const id = uniqueId("command");
    this.#choice = el(
      "select",
      { id, onchange: () => this.#open(this.#choice.value) },
      el("option", { value: "" }, "choose…"),
      ...choices.map(([value, text]) => el("option", { value }, text)),
    );
    return [
      el("p", { class: "chooser" }, el("label", { for: id }, `Command of ${name}`), this.#choice),
      this.#place,
    ];
  }

  /** Whether what only the server's `interact` knows is executed with this instrument: its first. */
  get #hasOthers() {
    const { interact, instruments } = this.#lab.description;
    return interact !== null && Object.keys(instruments)[0] === this.#instrument.name;
  }

  /** Open the form of a command, filled in with these parameters. */
  fill(command, parameters) {
    const bare = command.slice(command.lastIndexOf(".") + 1);
    const isDeclared = bare in (this.#instrument.description?.commands ?? {});
    if (this.#choice) {
      this.#choice.value = isDeclared ? bare : FREE;
      if (!this.#choice.value) return;
    }
    this.#open(isDeclared ? bare : FREE);
    this.#form.fill(parameters ?? {}, command);
    this.#place.scrollIntoView({ block: "nearest" });
    this.#place.querySelector("input, select, textarea, button")?.focus();
  }

  #open(command) {
    this.#form = command === "" ? null : this.#formOf(command);
    this.#place.replaceChildren(...(this.#form ? [this.#form.element] : []));
  }

  /** The form of a command; each keeps what was typed into it. */
  #formOf(command) {
    if (!this.#forms.has(command)) {
      const context = { lab: this.#lab, control: this.#control, instrument: this.#instrument };
      const form =
        command === FREE
          ? new FreeForm(context, this.#lab.description.interact)
          : new CommandForm(context, command, this.#context.commandId(command), (p) =>
              this.#suggest(p),
            );
      this.#forms.set(command, form);
    }
    return this.#forms.get(command);
  }

  /** Channels by their names, where the state has such. */
  #suggest({ name }) {
    if (name !== "channel") return [];
    const parts = Object.values(this.#instrument.state ?? {});
    return parts
      .filter((part) => part && typeof part === "object" && "channel" in part && part.name)
      .map((part) => part.name);
  }

  async #changeControl() {
    setText(this.#problem, "");
    if (!this.#control.held) {
      this.#dialog.open();
      return;
    }
    try {
      await this.#control.release();
    } catch (error) {
      setText(this.#problem, error.message);
    }
  }

  /** Have the server open hardware that is lost now; by itself it does so only now and then. */
  async #reopen() {
    setText(this.#problem, "");
    this.#reopenButton.disabled = true;
    try {
      await this.#control.send("link.reopen", { instrument: this.#instrument.name });
    } catch (error) {
      setText(this.#problem, error.message);
    }
    this.#reopenButton.disabled = !this.#control.held;
  }

  /** Show what the instrument does, and who holds it. */
  showHealth() {
    const { status, progress, failure } = this.#instrument;
    const { held, lost } = this.#control;
    const isBusy = status.state === "busy" || Boolean(progress?.command);
    setText(this.#health, healthText(this.#instrument));
    this.element?.setAttribute(
      "data-health",
      status.state === "lost" ? "lost" : isBusy ? "busy" : "idle",
    );
    const fraction = progress?.fraction ?? status.fraction ?? status.activity?.fraction;
    this.#bar.hidden = typeof fraction !== "number";
    if (!this.#bar.hidden) this.#bar.value = fraction;
    setText(this.#far, isBusy ? (progress?.text ?? status.text ?? "") : "");
    setText(this.#activity, isBusy ? "" : activityText(status.activity, progress));
    setText(
      this.#failure,
      failure
        ? `Last failure, at ${timeText(failure.received)}: ${failure.command}: ${failure.error}`
        : "",
    );
    const { lease } = status;
    const isForeign = this.#control.isForeign(lease);
    const said = leaseText(this.#instrument.name, held, lost, isForeign ? lease : null);
    setText(this.#lease, this.mayControl ? said : `${said} Your token may only watch it.`);
    this.#lease.className = `holder ${held ? "own" : isForeign ? "foreign" : "nobody"}`;
    setText(this.#controlButton, held ? "Give back control" : "Take control…");
    this.#reopenButton.hidden = status.state !== "lost";
    this.#reopenButton.disabled = !held;
    this.#reopenButton.title = held ? "" : "Take control of the instrument first";
    this.#controlButton.className = held ? "held" : isForeign ? "quiet" : "primary";
    this.#dialog.warn(isForeign ? lease : null);
  }

  /** Show the state, as new as it is. */
  showState() {
    const { state } = this.#instrument;
    if (state !== undefined && state !== null) this.#tile.show(state);
  }

  /** Say when the instrument was heard of last, and whether that is long ago. */
  showAge(isStale) {
    const { heard, state, stateError } = this.#instrument;
    setClass(this.element, "stale", isStale);
    const at = heard === null ? "nothing heard yet" : `last heard of at ${clockOf(heard)}`;
    const none = state === undefined || state === null ? "; it tells no live state" : "";
    if (isStale) setText(this.#heard, `Not up to date: ${at}`);
    else
      setText(
        this.#heard,
        stateError ? `The state cannot be read: ${stateError}` : `${at}${none}`,
      );
  }
}

/** The question who takes control, and what that means for somebody else. */
class ControlDialog {
  #control;
  #instrument;
  #lease = null;
  #name;
  #warning = el("p", { class: "warning" });
  #force;
  #forceLine;
  #take = el("button", { type: "submit", class: "primary" }, "Take control");
  #refusal = el("p", { class: "refusal", role: "alert" });

  constructor(control, instrument) {
    this.#control = control;
    this.#instrument = instrument;
    const id = uniqueId("control");
    this.#name = el("input", {
      id,
      type: "text",
      required: true,
      maxlength: 200,
      autocomplete: "name",
    });
    this.#force = el("input", {
      type: "checkbox",
      id: `${id}-force`,
      onchange: () => this.#allow(),
    });
    this.#forceLine = el(
      "p",
      { class: "force", hidden: true },
      this.#force,
      el("label", { for: `${id}-force` }, ""),
    );
    const form = el(
      "form",
      { method: "dialog" },
      el("h3", { id: `${id}-title` }, `Take control of ${instrument.name}`),
      el(
        "p",
        {},
        "While you hold it, commands of all others are refused. It is given back when you say so, " +
          "or within half a minute after this page is closed.",
      ),
      this.#warning,
      this.#forceLine,
      el("label", { for: id }, "Your name, which others will see"),
      this.#name,
      this.#refusal,
      el(
        "div",
        { class: "actions" },
        this.#take,
        el("button", { type: "button", onclick: () => this.element.close() }, "Cancel"),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.element = el("dialog", { "aria-labelledby": `${id}-title` }, form);
  }

  open() {
    this.#name.value = localStorage.getItem(NAME) ?? "";
    this.#force.checked = false;
    setText(this.#refusal, "");
    this.#allow();
    this.element.showModal();
    this.#name.focus();
  }

  /** Say who holds the instrument; null where nobody does. */
  warn(lease) {
    this.#lease = lease;
    setText(
      this.#warning,
      lease ? `${lease.owner} holds ${this.#instrument.name} until ${timeText(lease.until)}.` : "",
    );
    this.#forceLine.hidden = !lease;
    setText(
      this.#forceLine.lastChild,
      lease ? `Take it from ${lease.owner}: their commands will be refused` : "",
    );
    this.#allow();
  }

  #allow() {
    this.#take.disabled = Boolean(this.#lease) && !this.#force.checked;
  }

  async #send() {
    const name = this.#name.value.trim();
    if (!name || this.#take.disabled) return;
    try {
      await this.#control.take(name, Boolean(this.#lease) && this.#force.checked);
      localStorage.setItem(NAME, name);
      this.element.close();
    } catch (error) {
      setText(this.#refusal, error.message);
    }
  }
}

/** What the instrument does, in a line: `busy with ramp; 2 wait`. */
function healthText({ status, progress }) {
  const waiting = progress?.waiting ?? status.waiting ?? 0;
  const queue = waiting ? `; ${waiting} ${waiting === 1 ? "waits" : "wait"}` : "";
  if (status.state === "lost")
    return `hardware lost since ${timeText(status.lost?.since)}: ${status.lost?.why ?? ""}${queue}`;
  const command = progress?.command ?? (status.state === "busy" ? status.command : null);
  return `${command ? `busy with ${command}` : (status.state ?? "unknown")}${queue}`;
}

/** What hardware goes on doing by itself. */
function activityText(activity, progress) {
  if (progress && !progress.command) return progress.text ?? "";
  return typeof activity === "string" ? activity : (activity?.text ?? "");
}

function leaseText(name, held, lost, lease) {
  if (held) return `You have control as ${held.owner}.`;
  const now = lease
    ? `${lease.owner} holds ${name} until ${timeText(lease.until)}.`
    : `Nobody holds ${name}.`;
  if (lost === null) return now;
  return `You have lost control${lost && `: ${lost}`}. ${now}`;
}

/** A time of the server's clock, in s since 1970. */
export function timeText(seconds) {
  if (typeof seconds !== "number") return "an unknown time";
  const date = new Date(seconds * 1000);
  const time = date.toLocaleTimeString(undefined, { hour12: false });
  return date.toDateString() === new Date().toDateString()
    ? time
    : `${date.toLocaleDateString()} ${time}`;
}

/** A time of the page's own clock, in ms since it was loaded. */
function clockOf(ms) {
  return new Date(performance.timeOrigin + ms).toLocaleTimeString(undefined, { hour12: false });
}
