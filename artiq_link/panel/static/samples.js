/**
 * Samples: the numbers of the instruments' states over time, since the page was opened.
 */

import { numbersIn, unitsOf } from "./value_view.js";

const MOST_POINTS = 1000; // of each number
const MOST_SERIES = 200;

/** Remembers each number of the states. Tells of more by the event "change". */
export class Samples extends EventTarget {
  /** Points `[s since 1970, number]` by `dds: state.ch0.frequency`. */
  series = new Map();

  #units = new Map();

  constructor(lab) {
    super();
    lab.addEventListener("state", ({ detail: { instrument } }) => this.#note(instrument));
    lab.addEventListener("description", () => {
      const described = Object.values(lab.description.instruments);
      this.#units = new Map(described.flatMap((description) => [...unitsOf(description)]));
    });
  }

  /** The unit of a number by its path, as far as it is known. */
  unitOf(path) {
    return this.#units.get(path.slice(path.lastIndexOf(".") + 1)) ?? "";
  }

  #note({ name, state }) {
    const now = Date.now() / 1000;
    for (const [path, value] of numbersIn(state, `${name}: state`)) {
      if (!this.series.has(path)) {
        if (this.series.size >= MOST_SERIES) continue;
        this.series.set(path, []);
      }
      const points = this.series.get(path);
      points.push([now, value]);
      if (points.length > MOST_POINTS) points.shift();
    }
    this.dispatchEvent(new Event("change"));
  }
}
