/**
 * The page's header: which server this is, and whether what is shown is up to date.
 */

import { el, setText } from "./dom.js";
import { hasSession, signOut } from "./session.js";

const TEXTS = {
  connecting: "connecting…",
  live: "live",
  stale: "no answer",
  reconnecting: "reconnecting…",
  "signed out": "signed out",
};

/** The header, which tells what becomes of the connection. */
export function serverHeader(lab) {
  const badge = el("span", { class: "badge", role: "status" });
  const facts = el("span", { class: "facts" });
  const notice = el("p", { class: "notice", role: "alert", hidden: true });
  const retry = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => lab.retry() }, "Try now");
  const leave = el("button", { type: "button", class: "quiet", hidden: !hasSession(), onclick: () => signOut().then(() => location.assign("sign-in"), ({ message }) => say(message)) }, "Sign out");
  const element = el(
    "header",
    { class: "page" },
    el("h1", {}, location.host),
    badge,
    retry,
    facts,
    leave,
    notice,
  );

  const say = (text) => {
    setText(notice, text);
    notice.hidden = !text;
  };
  const showFacts = () => {
    if (!lab.status) return;
    const { version, uptime, access, journal } = lab.status;
    setText(facts, [`artiq_link ${version}`, `up ${spanText(uptime)}`, `open to ${access}`].join(" · "));
    if (journal?.problem) say(`The journal has a problem: ${journal.problem}`);
  };
  const showConnection = () => {
    element.dataset.connected = lab.connected;
    setText(badge, lab.pushes || lab.connected !== "live" ? TEXTS[lab.connected] : "live, asked once a second");
    const isOld = ["stale", "reconnecting"].includes(lab.connected);
    retry.hidden = lab.connected !== "reconnecting" || lab.nextTry === null;
    if (isOld) {
      const since = lab.heard === null ? "" : ` What is shown is from ${clockText(lab.heard)}.`;
      const why = lab.connected === "stale" ? "The server does not answer." : "There is no connection to the server; it is tried again by itself.";
      say(why + since);
    }
  };
  lab.addEventListener("status", showFacts);
  lab.addEventListener("connected", showConnection);
  lab.addEventListener("live", ({ detail }) => {
    say(detail.isRestart ? "The server was restarted: what was set before may be gone." : "");
    showFacts();
    showConnection();
  });
  showConnection();
  return element;
}

function spanText(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60]];
  const [name, size] = units.find(([, length]) => seconds >= length) ?? ["s", 1];
  return `${Math.floor(seconds / size)} ${name}`;
}

function clockText(ms) {
  return new Date(performance.timeOrigin + ms).toLocaleTimeString(undefined, { hour12: false });
}
