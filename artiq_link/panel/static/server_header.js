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

const TROUBLES = {
  stale: "The server does not answer.",
  reconnecting: "There is no connection to the server; it is tried again by itself.",
};

/** The header, which tells what becomes of the connection. */
export function serverHeader(lab) {
  const badge = el("span", { class: "badge", role: "status" });
  const facts = el("span", { class: "facts" });
  const notice = el("p", { class: "notice", role: "alert", hidden: true });
  const retry = el(
    "button",
    { type: "button", class: "quiet", hidden: true, onclick: () => lab.retry() },
    "Try now",
  );
  const leave = el(
    "button",
    { type: "button", class: "quiet", hidden: !hasSession() },
    "Sign out",
  );
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

  const said = { connection: "", restart: "", journal: "", session: "" };
  const say = (about, text) => {
    said[about] = text;
    setText(notice, Object.values(said).filter(Boolean).join(" "));
    notice.hidden = !notice.textContent;
  };
  const showFacts = () => {
    const { version, uptime, access, journal } = lab.status;
    setText(
      facts,
      [`artiq_link ${version}`, `up ${spanText(uptime)}`, accessText(access)].join(" · "),
    );
    say("journal", journal?.problem ? `The journal has a problem: ${journal.problem}.` : "");
  };
  const showConnection = () => {
    const { connected } = lab;
    element.dataset.connected = connected;
    setText(
      badge,
      connected === "live" && !lab.pushes ? "live, asked once a second" : TEXTS[connected],
    );
    retry.hidden = connected !== "reconnecting";
    const since = lab.heard === null ? "" : ` What is shown is from ${clockText(lab.heard)}.`;
    say("connection", connected in TROUBLES ? TROUBLES[connected] + since : "");
  };
  leave.addEventListener("click", () => {
    signOut().then(
      () => location.assign("sign-in"),
      ({ message }) => say("session", message),
    );
  });
  lab.addEventListener("status", showFacts);
  lab.addEventListener("connected", showConnection);
  lab.addEventListener("live", ({ detail }) => {
    showConnection();
    if (detail.isRestart) {
      const time = clockText(performance.now());
      say(
        "restart",
        `The server was restarted, as seen at ${time}: what was set before may be gone.`,
      );
    }
  });
  showConnection();
  return element;
}

/** Who may connect; a server that is open to everyone says so itself. */
function accessText(access) {
  return access.startsWith("open") ? access : `open to ${access}`;
}

function spanText(seconds) {
  const units = [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
  ];
  const [name, size] = units.find(([, length]) => seconds >= length) ?? ["s", 1];
  return `${Math.floor(seconds / size)} ${name}`;
}

function clockText(ms) {
  return new Date(performance.timeOrigin + ms).toLocaleTimeString(undefined, { hour12: false });
}
