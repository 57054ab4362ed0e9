/**
 * Plots: lines of numbers against time or another number, as SVG.
 */

import { el, svg } from "./dom.js";
import { quantityParts } from "./units.js";

const HEIGHT = 150;
const MARGIN = { top: 10, right: 12, bottom: 22, left: 74 };
const LABEL = 60; // px, of a tick, at most
const MOST_POINTS = 2000;
const SHORTEST_CLOCK = 10; // s

/** A plot that is drawn anew as wide as there is room, whenever it is told of other points. */
export class Plot {
  #shown = null;
  #width = 0;

  constructor(label) {
    this.element = el("figure", { class: "plot" });
    this.label = label;
    new ResizeObserver(() => {
      if (this.element.clientWidth !== this.#width) this.#draw();
    }).observe(this.element);
  }

  /**
   * Show points `[[x, y], ...]`, in order of x.
   *
   * `x` and `y` are axes: `{unit, label}`, or for times of day `{clock: true}`; `y` may have
   * `lowest` and `highest` that are to be in the picture. `shape` is "line", "steps", which hold each
   * value until the next, or "dots". `now` marks an x.
   */
  show(points, { x = {}, y = {}, shape = "line", now = null } = {}) {
    this.#shown = { points: thinned(points), x, y, shape, now };
    this.#draw();
  }

  #draw() {
    const width = this.element.clientWidth;
    this.#width = width;
    if (!this.#shown || width < 60) return;
    const { points, x, y, shape, now } = this.#shown;
    if (!points.length) {
      this.element.replaceChildren(el("p", { class: "note" }, "nothing to show yet"));
      return;
    }
    const across = scale(spanOf(points, 0, x), [MARGIN.left, width - MARGIN.right]);
    const up = scale(padded(spanOf(points, 1, y)), [HEIGHT - MARGIN.bottom, MARGIN.top]);
    const picture = svg(
      "svg",
      {
        viewBox: `0 0 ${width} ${HEIGHT}`,
        width,
        height: HEIGHT,
        role: "img",
        "aria-label": this.label,
      },
      ...horizontalTicks(up, y, width),
      ...verticalTicks(across, x),
      shape === "dots" ? dots(points, across, up) : line(points, across, up, shape),
    );
    if (now !== null && now >= across.lowest && now <= across.highest) {
      const at = across.of(now);
      picture.append(
        svg("line", { class: "now", x1: at, x2: at, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
      );
    }
    this.element.replaceChildren(picture);
  }
}

function line(points, across, up, shape) {
  let path = "";
  for (const [x, y] of points) {
    const [left, top] = [across.of(x).toFixed(1), up.of(y).toFixed(1)];
    if (!path) path = `M${left} ${top}`;
    else path += shape === "steps" ? `H${left}V${top}` : `L${left} ${top}`;
  }
  return svg("path", { class: "line", d: path });
}

function dots(points, across, up) {
  return svg(
    "g",
    { class: "dots" },
    ...points.map(([x, y, mark]) =>
      svg("circle", {
        cx: across.of(x).toFixed(1),
        cy: up.of(y).toFixed(1),
        r: 2.5,
        class: mark ?? null,
      }),
    ),
  );
}

function horizontalTicks(up, axis, width) {
  return ticksOf(up.lowest, up.highest, 4).flatMap((value) => {
    const at = up.of(value);
    return [
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at }),
      svg("text", { x: MARGIN.left - 6, y: at + 4, "text-anchor": "end" }, tickText(value, axis)),
    ];
  });
}

function verticalTicks(across, axis) {
  const count = Math.max(3, Math.floor((across.end - across.begin) / (axis.clock ? 110 : 80)));
  const ticks = axis.clock
    ? clockTicks(across.lowest, across.highest, count)
    : ticksOf(across.lowest, across.highest, count);
  const isLast = (at) => across.end - at < LABEL / 2;
  return ticks.flatMap((value) => {
    const at = across.of(value);
    const text = axis.clock
      ? clockText(value, across.highest - across.lowest)
      : tickText(value, axis);
    return [
      svg("line", { class: "grid", x1: at, x2: at, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
      // The picture ends soon behind the last one, which is to be read as a whole.
      svg("text", { x: at, y: HEIGHT - 6, "text-anchor": isLast(at) ? "end" : "middle" }, text),
    ];
  });
}

/** Round numbers between two others: 1, 2 or 5 times a power of ten apart. */
function ticksOf(lowest, highest, count) {
  const least = (highest - lowest) / count;
  const power = 10 ** Math.floor(Math.log10(least));
  const step =
    [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= least) ?? least;
  const ticks = [];
  const first = Math.ceil(lowest / step);
  for (let n = first; n * step <= highest && ticks.length <= 2 * count; n += 1)
    ticks.push(n * step);
  return ticks;
}

const CLOCK_STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400,
];

function clockTicks(lowest, highest, count) {
  const least = (highest - lowest) / count;
  const step = CLOCK_STEPS.find((size) => size >= least) ?? Math.ceil(least / 86400) * 86400;
  const offset = new Date(lowest * 1000).getTimezoneOffset() * 60;
  const ticks = [];
  let tick = Math.ceil((lowest - offset) / step) * step + offset;
  for (; tick <= highest; tick += step) ticks.push(tick);
  return ticks;
}

function clockText(seconds, span) {
  const date = new Date(seconds * 1000);
  if (span > 2 * 86400)
    return date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
  const parts = {
    hour: "2-digit",
    minute: "2-digit",
    ...(span < 600 && { second: "2-digit" }),
    hour12: false,
  };
  return date.toLocaleTimeString(undefined, parts);
}

function tickText(value, { unit = "" }) {
  const { number, unit: written } = quantityParts(value, unit, 6);
  return `${number} ${written === "of full scale" ? "" : written}`.trim();
}

function spanOf(points, index, { lowest = Infinity, highest = -Infinity, clock = false }) {
  for (const point of points) {
    lowest = Math.min(lowest, point[index]);
    highest = Math.max(highest, point[index]);
  }
  if (clock && highest - lowest < SHORTEST_CLOCK) return [highest - SHORTEST_CLOCK, highest];
  if (lowest < highest) return [lowest, highest];
  const around = Math.abs(lowest) * 0.001 || 1;
  return [lowest - around, highest + around];
}

function padded([lowest, highest]) {
  const more = (highest - lowest) * 0.06;
  return [lowest - more, highest + more];
}

function scale([lowest, highest], [begin, end]) {
  const factor = (end - begin) / (highest - lowest);
  return { lowest, highest, begin, end, of: (value) => begin + (value - lowest) * factor };
}

/** As many points as a screen can show: of each stretch the lowest and the highest. */
function thinned(points) {
  if (points.length <= MOST_POINTS) return points;
  const size = Math.ceil((2 * points.length) / MOST_POINTS);
  const kept = [];
  for (let begin = 0; begin < points.length; begin += size) {
    const stretch = points.slice(begin, begin + size);
    const ordered = [...stretch].sort((a, b) => a[1] - b[1]);
    const ends = [ordered[0], ordered[ordered.length - 1]];
    kept.push(...ends.sort((a, b) => a[0] - b[0]));
  }
  return kept;
}
