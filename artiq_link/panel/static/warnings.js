/**
 * Warnings: what the server's log said while the page was open.
 */

import { el } from "./dom.js";
import { timeText } from "./instrument_card.js";

const MOST = 100;

/** The section with the newest warnings; it is hidden while there are none. */
export function warningsSection(lab) {
  const list = el("ol", { class: "log", role: "log" });
  const element = el(
    "section",
    { class: "warnings", hidden: true, "aria-labelledby": "warnings-title" },
    el("h2", { id: "warnings-title" }, "Warnings of the server"),
    list,
  );
  lab.addEventListener("log", ({ detail: { line } }) => {
    element.hidden = false;
    list.prepend(
      el(
        "li",
        { class: String(line.level).toLowerCase() },
        el("time", {}, timeText(line.time)),
        el("b", {}, line.level),
        line.text,
      ),
    );
    while (list.children.length > MOST) list.lastChild.remove();
  });
  return element;
}
