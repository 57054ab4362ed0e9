/**
 * The panel: puts the page together, and has each part show what the lab PC tells.
 */

import { el } from "./dom.js";
import { History } from "./history.js";
import { InstrumentCard } from "./instrument_card.js";
import { Lab } from "./lab.js";
import { Samples } from "./samples.js";
import { serverHeader } from "./server_header.js";
import { ownTiles } from "./tiles.js";
import { warningsSection } from "./warnings.js";

const lab = new Lab();
const cards = new Map();
const samples = new Samples(lab);
const grid = el("div", { class: "cards" });
const history = new History(lab, samples, (exchange) => {
  const instrument = lab.instrumentFor(exchange);
  cards.get(instrument?.name)?.fill(exchange.command, exchange.parameters);
});
const header = serverHeader(lab);
const problem = el("p", { class: "notice", role: "alert", hidden: true });

const { tiles, problem: tileProblem } = await ownTiles();
if (tileProblem) {
  problem.textContent = tileProblem;
  problem.hidden = false;
}

document.title = `${location.host} · artiq_link`;
document.body.replaceChildren(
  el("a", { class: "skip", href: "#instruments" }, "Skip to the instruments"),
  header,
  el("main", { id: "instruments" }, problem, grid, warningsSection(lab), history.element),
);

/**
 * Make the cards of instruments that have none, and take those away whose instrument is gone, or is
 * another one, or to be controlled by others, since the server was restarted.
 */
function arrange() {
  for (const [name, card] of cards) {
    const instrument = lab.instruments.get(name);
    if (instrument !== card.instrument || instrument.mayControl !== card.mayControl) {
      card.element.remove();
      cards.delete(name);
    }
  }
  for (const [name, instrument] of lab.instruments) {
    if (cards.has(name)) continue;
    const card = new InstrumentCard(lab, instrument, tiles);
    cards.set(name, card);
    grid.append(card.element);
  }
}

function showAges() {
  const isStale = ["stale", "reconnecting"].includes(lab.connected);
  cards.forEach((card) => card.showAge(isStale));
}

lab.addEventListener("status", () => {
  arrange();
  cards.forEach((card) => card.showHealth());
  showAges();
});
lab.addEventListener("state", ({ detail: { instrument } }) => {
  arrange();
  cards.get(instrument.name).showState();
  showAges();
});
for (const name of ["activity", "lease"]) {
  lab.addEventListener(name, ({ detail: { instrument } }) =>
    cards.get(instrument.name)?.showHealth(),
  );
}
lab.addEventListener("exchange", ({ detail: { exchange } }) =>
  cards.get(exchange.instrument)?.showHealth(),
);
lab.addEventListener("connected", () => {
  if (lab.connected === "signed out") location.assign("sign-in");
  showAges();
});
lab.start();
