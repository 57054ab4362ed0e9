/**
 * The form of one command: checked while it is filled in, sent, and its reply shown beside it.
 */

import { Refused } from "./connection.js";
import { newId } from "./control.js";
import { paragraphs } from "./docstring.js";
import { el, setText } from "./dom.js";
import { fieldFor } from "./fields.js";
import { artiqText, sendDataText, shellText } from "./request_text.js";
import { readJson } from "./typed_text.js";
import { unitsOf, valueElement } from "./value_view.js";

const CHECK_AFTER = 250; // ms without a key

/** What all forms have: what is checked, sent, aborted, copied and shown. */
class RequestForm {
  #lab;
  #control;
  #instrument;
  #timer = null;
  #running = null;
  #check = 0;

  constructor({ lab, control, instrument }) {
    this.#lab = lab;
    this.#control = control;
    this.#instrument = instrument;
    this.units = unitsOf(instrument.description);
    this.verdict = el("p", { class: "verdict", role: "status" });
    this.sendButton = el("button", { type: "submit", class: "primary" }, "Send");
    this.abortButton = el(
      "button",
      { type: "button", hidden: true, onclick: () => this.#abort() },
      "Abort",
    );
    this.reply = el("div", { class: "reply", role: "status", "aria-label": "reply" });
    this.copies = el("div", { class: "copies" });
    this.element = el("form", { class: "command", novalidate: true });
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.element.addEventListener("input", () => this.#changed());
    control.addEventListener("change", () => this.#allow());
    lab.addEventListener("connected", () => this.#allow());
  }

  /** Put the form together around its entries. */
  compose(doc, entries) {
    this.element.append(
      el("div", { class: "doc" }, ...paragraphs(doc)),
      el("div", { class: "fields" }, ...entries),
      this.verdict,
      el("div", { class: "actions" }, this.sendButton, this.abortButton),
      this.reply,
      el("details", { class: "copy" }, el("summary", {}, "Copy this request"), this.copies),
    );
    this.#allow();
    this.#changed();
  }

  #allow() {
    const { held } = this.#control;
    const isThere = ["live", "stale"].includes(this.#lab.connected);
    this.sendButton.disabled = !held || !isThere || this.#running !== null;
    this.sendButton.title = held ? "" : "Take control of the instrument first";
    this.element.classList.toggle("watching", !held);
  }

  #changed() {
    const request = this.read({ isFinal: false });
    this.copies.replaceChildren(
      ...(request
        ? this.#copiesOf(request)
        : [el("p", { class: "note" }, "There is nothing to copy before the form is filled in.")]),
    );
    clearTimeout(this.#timer);
    this.#check += 1;
    setText(this.verdict, "");
    if (request) this.#timer = setTimeout(() => this.#askWhetherItWorks(request), CHECK_AFTER);
  }

  async #askWhetherItWorks(request) {
    const check = this.#check;
    try {
      const wanted = { command_id: request.commandId, ...request.parameters };
      const [answer] = await this.#lab.ask("link.check", { requests: [wanted] });
      if (check !== this.#check) return; // the form has changed meanwhile
      if (answer.status === "fail") this.refuse(answer.error, answer.where);
      else if (answer.status === "unchecked")
        setText(this.verdict, answer.error ?? "The server cannot check this before it is sent.");
      else setText(this.verdict, "✓ can be sent");
    } catch {
      // Without an answer nothing is claimed.
    }
  }

  async #send() {
    if (this.sendButton.disabled) return;
    const request = this.read({ isFinal: true });
    if (!request) return;
    clearTimeout(this.#timer);
    this.#check += 1;
    setText(this.verdict, "");
    const id = newId();
    const began = performance.now();
    this.#running = id;
    this.abortButton.hidden = false;
    this.#allow();
    this.reply.className = "reply running";
    this.reply.replaceChildren(el("p", {}, `${request.command} was sent…`));
    try {
      const result = await this.#control.send(request.commandId, request.parameters, id);
      this.#show("success", `${request.command}: done`, began, this.#resultOf(request, result));
    } catch (error) {
      if (!(error instanceof Refused)) {
        this.#show("fail", error.message, began);
      } else {
        this.refuse(error.message, error.where);
        this.#show("fail", error.message, began, "", error.code);
      }
    } finally {
      this.#running = null;
      this.abortButton.hidden = true;
      this.#allow();
    }
  }

  async #abort() {
    try {
      await this.#control.abort(this.#running);
    } catch (error) {
      setText(this.verdict, error.message);
    }
  }

  #resultOf({ command }, result) {
    if (result === undefined || result === null) return "";
    if (typeof result === "object") return valueElement(result, this.units, "");
    // Alone, a number has no name by which its unit would be known.
    const declared = this.#instrument.description?.commands?.[command]?.result;
    return valueElement(result, new Map([["result", declared?.unit ?? ""]]), "result");
  }

  #show(outcome, sentence, began, result = "", code = undefined) {
    const seconds = (performance.now() - began) / 1000;
    const time = new Date().toLocaleTimeString(undefined, { hour12: false });
    this.reply.className = `reply ${outcome}`;
    this.reply.replaceChildren(
      el("p", {}, sentence, code && el("code", {}, code)),
      result,
      el(
        "p",
        { class: "note" },
        `${time}, after ${seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`}`,
      ),
    );
  }

  #copiesOf({ command, commandId, parameters }) {
    const place = { host: location.hostname.replace(/^\[|\]$/g, ""), port: portOf(location) };
    return [
      copyLine("Python", sendDataText(commandId, parameters, place)),
      copyLine("Shell", shellText(commandId, parameters, place)),
      copyLine("ARTIQ", artiqText(this.#instrument.name, command, parameters)),
    ];
  }
}

/** The form of a declared command. */
export class CommandForm extends RequestForm {
  #command;
  #commandId;
  #fields;

  /** `commandId` is the name under which the command is sent; `suggest(parameter)` gives values. */
  constructor(context, command, commandId, suggest = () => []) {
    super(context);
    this.#command = command;
    this.#commandId = commandId;
    const { doc, parameters } = context.instrument.description.commands[command];
    this.#fields = parameters.map((parameter) => fieldFor(parameter, suggest(parameter)));
    this.compose(
      doc,
      this.#fields.map((field) => field.element),
    );
  }

  /** What the form asks for; null where it cannot be asked. At the end what is missing is said. */
  read({ isFinal }) {
    const parameters = {};
    let isWhole = true;
    for (const field of this.#fields) {
      const { name, required } = field.parameter;
      field.refuse("");
      try {
        const value = field.value();
        if (value !== undefined) parameters[name] = value;
        else if (required) {
          isWhole = false;
          if (isFinal) field.refuse("this has to be given");
        }
      } catch (error) {
        isWhole = false;
        field.refuse(error.message);
      }
    }
    return isWhole ? { command: this.#command, commandId: this.#commandId, parameters } : null;
  }

  /** Show a refusal at its field, or below the form where it belongs to none. */
  refuse(sentence, where) {
    const name = (where ?? "").split(/[.[]/)[0];
    const field = this.#fields.find(({ parameter }) => parameter.name === name);
    if (field) field.refuse(sentence, where);
    else setText(this.verdict, sentence);
  }

  /** Fill the form in as it was sent before. */
  fill(parameters) {
    for (const field of this.#fields) {
      const { name } = field.parameter;
      if (name in parameters) field.fill(parameters[name]);
    }
    this.element.dispatchEvent(new Event("input"));
  }
}

/** The form of commands that nobody declares: those of a server's `interact`. */
export class FreeForm extends RequestForm {
  #command = el("input", {
    type: "text",
    id: "free-command",
    autocomplete: "off",
    spellcheck: "false",
  });
  #parameters = el("textarea", {
    id: "free-parameters",
    rows: 4,
    spellcheck: "false",
    placeholder: '{"param1": 42}',
  });

  constructor(context, doc) {
    super(context);
    this.compose(doc, [
      el(
        "div",
        { class: "field" },
        el("label", { for: "free-command" }, "command"),
        this.#command,
      ),
      el(
        "div",
        { class: "field" },
        el("label", { for: "free-parameters" }, "parameters in JSON"),
        this.#parameters,
      ),
    ]);
  }

  read({ isFinal }) {
    const command = this.#command.value.trim();
    try {
      const parameters = this.#parameters.value.trim() ? readJson(this.#parameters.value) : {};
      if (command) return { command, commandId: command, parameters };
      if (isFinal) this.refuse("The command's name is missing.");
    } catch (error) {
      this.refuse(error.message);
    }
    return null;
  }

  refuse(sentence) {
    setText(this.verdict, sentence);
  }

  fill(parameters, command) {
    this.#command.value = command;
    this.#parameters.value = JSON.stringify(parameters);
    this.element.dispatchEvent(new Event("input"));
  }
}

function portOf({ port, protocol }) {
  return Number(port) || (protocol === "https:" ? 443 : 80);
}

/** A line to copy, with its button. */
function copyLine(name, text) {
  const line = el("input", {
    type: "text",
    readonly: true,
    value: text,
    "aria-label": `for ${name}`,
  });
  const button = el("button", { type: "button", class: "quiet" }, "Copy");
  button.addEventListener("click", async () => {
    line.select();
    // The clipboard's own interface is there for https and localhost alone.
    const isDone = navigator.clipboard
      ? await navigator.clipboard.writeText(text).then(
          () => true,
          () => false,
        )
      : document.execCommand("copy");
    setText(button, isDone ? "Copied" : "Press Ctrl-C");
  });
  return el("p", { class: "copy-line" }, el("span", {}, name), line, button);
}
