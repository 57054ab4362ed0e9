/**
 * A request as text to copy: for Python's `send_data`, for a shell, and for an ARTIQ experiment.
 */

import { numberText } from "./units.js";

const IDENTIFIER = /^[A-Za-z_]\w*$/;

/** The call of the client's template: `send_data({"command_id": "stop", "channel": 0})`. */
export function sendDataText(commandId, parameters, { host, port }) {
  const request = pythonText({ command_id: commandId, ...parameters });
  return `send_data(${request}, host=${pythonText(host)}, port=${port})`;
}

/** The line for a shell: `artiq-link send set_frequency channel=0 frequency=80e6`. */
export function shellText(commandId, parameters, { host, port }) {
  const words = Object.entries(parameters).map(([name, value]) => `${name}=${shellValue(value)}`);
  const line = ["artiq-link", "send", "--host", host, "--port", String(port), commandId, ...words];
  return line.map(quoted).join(" ");
}

/** The line for an experiment with the device `instrument`: `self.dds.call("stop", channel=0)`. */
export function artiqText(instrument, command, parameters) {
  const device = IDENTIFIER.test(instrument) ? instrument : "link";
  const entries = Object.entries(parameters);
  const given = entries.every(([name]) => IDENTIFIER.test(name))
    ? entries.map(([name, value]) => `, ${name}=${pythonText(value)}`).join("")
    : `, **${pythonText(parameters)}`;
  return `self.${device}.call(${pythonText(command)}${given})`;
}

/** A JSON value as Python writes it. */
function pythonText(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return numberText(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(pythonText).join(", ")}]`;
  const members = Object.entries(value).map(
    ([name, v]) => `${JSON.stringify(name)}: ${pythonText(v)}`,
  );
  return `{${members.join(", ")}}`;
}

/** A value as `artiq-link send` reads it. */
function shellValue(value) {
  if (typeof value === "number") return numberText(value);
  if (typeof value !== "string") return JSON.stringify(value);
  // A text that would be read as something else is quoted.
  const isPlain =
    /^[A-Za-z_][\w./: -]*$/.test(value) && !/^(null|none|true|false|on|off|yes|no)$/i.test(value);
  return isPlain ? value : JSON.stringify(value);
}

/** A word for a POSIX shell, as Python's shlex.quote writes it. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
