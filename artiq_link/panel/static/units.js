/**
 * Quantities as people write them: `80MHz` is read as 80e6 Hz, which is written `80 MHz`.
 *
 * The same rules as those of artiq_link/units.py, digit by digit: what is read is the float nearest to
 * what was typed, and what `writeQuantity` writes is read as the same float again.
 */

const PREFIXES = { p: -12, n: -9, u: -6, "\u03bc": -6, m: -3, "": 0, k: 3, M: 6, G: 9 };

// With each the prefixes that it is written with; where it has any, it is read with all.
const UNITS = {
  s: ["p", "n", "u", "m", ""],
  Hz: ["m", "", "k", "M", "G"],
  V: ["u", "m", "", "k"],
  A: ["n", "u", "m", ""],
  W: ["n", "u", "m", ""],
  dB: [],
  dBm: [],
  turns: [],
  rad: ["u", "m", ""],
  deg: [],
  m: ["n", "u", "m", ""],
  K: ["n", "u", "m", ""],
  degC: [],
  T: ["n", "u", "m", ""],
  G: ["u", "m", "", "k"],
  ohm: ["m", "", "k", "M", "G"],
  F: ["p", "n", "u", "m", ""],
  H: ["n", "u", "m", ""],
  Pa: ["n", "u", "m", "", "k", "M"],
  bar: ["n", "u", "m", ""],
};
const SIGNS = [
  ["\u03a9", "ohm"],
  ["\u00b0C", "degC"],
  ["\u00b0", "deg"],
];
const EXAMPLES = { Hz: "80MHz", s: "25us", V: "1.5V", dBm: "-3dBm" };

const QUANTITY =
  /^\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,9}))?\s*([^\s0-9.+-].*?)\s*$/;

// Beyond these an exponent reads better than zeros: 1e-30 s.
const SMALLEST = -4;
const LARGEST = 16;

/**
 * The number of `unit` in a text such as `80MHz` or `-3 dBm`.
 *
 * The text has that unit with this prefix or another one. Throws RangeError where it has not.
 */
export function readQuantity(text, unit) {
  const found = QUANTITY.exec(text);
  const typed = takeApart(found ? found[3] : "");
  const wanted = takeApart(unit);
  if (!found || typed.base !== wanted.base) {
    throw new RangeError(`'${text.slice(0, 60)}' is no quantity such as ${exampleOf(unit)}`);
  }
  // One reading of digits and exponent together rounds once: 0.1 MHz is 100e3, and no 100000.00…
  const exponent = Number(found[2] || 0) + typed.exponent - wanted.exponent;
  const number = Number(`${found[1]}e${exponent}`);
  if (!Number.isFinite(number)) throw new RangeError(`'${text.slice(0, 60)}' is beyond floats`);
  return number;
}

/** What a text such as `80MHz` is in Hz; null for what is no number with a unit known here. */
export function knownQuantity(text) {
  const found = QUANTITY.exec(text);
  const { base } = takeApart(found ? found[3] : "");
  return found && Object.hasOwn(UNITS, base) ? readQuantity(text, base) : null;
}

/** A number of `unit` in engineering notation, with all its digits: `80.0000000745058 MHz`. */
export function writeQuantity(value, unit) {
  const { number, unit: written } = quantityParts(value, unit);
  return `${number} ${written}`.trim();
}

/**
 * A number of `unit` as it is shown: digits and unit apart, at most `digits` of them significant.
 *
 * Without `digits` none is left out. Units that are not known here, or that have a prefix already,
 * are written as they are.
 */
export function quantityParts(value, unit = "", digits = null) {
  const exact = decimalOf(value);
  const { sign, figures, exponent } = digits === null ? exact : rounded(exact, digits);
  const prefixes = prefixesOf(unit);
  const isZero = figures === "0";
  const size = isZero ? 0 : exponent + figures.length - 1;
  // The smallest prefix that leaves no more than three digits; the largest there is otherwise.
  let prefix = prefixes.find((name) => size - PREFIXES[name] < 3) ?? prefixes[prefixes.length - 1];
  if (isZero) prefix = "";
  const left = size - PREFIXES[prefix];
  if (!isZero && (left < SMALLEST || left >= LARGEST)) return { number: String(value), unit };
  return { number: sign + plain(figures, exponent - PREFIXES[prefix]), unit: prefix + unit };
}

/** How a quantity of `unit` may be typed: `80MHz`. */
export function exampleOf(unit) {
  if (Object.hasOwn(EXAMPLES, unit)) return EXAMPLES[unit];
  return unit.includes(" ") ? `0.5 ${unit}` : `0.5${unit}`;
}

/** A number as programs read it, with an exponent as labs write it: `80e6`, `0.25`, `15e-6`. */
export function numberText(value) {
  const { sign, figures, exponent } = decimalOf(value);
  const size = exponent + figures.length - 1;
  if ((size >= -3 && size < 4) || figures.length > 7) return String(value);
  const scale = Math.floor(size / 3) * 3;
  return `${sign}${plain(figures, exponent - scale)}e${scale}`;
}

/** The shortest decimal digits that are read as this float: `figures` times ten to `exponent`. */
function decimalOf(value) {
  const [, sign, whole, fraction = "", power = "0"] =
    /^(-?)([0-9])(?:\.([0-9]+))?e([+-][0-9]+)$/.exec(value.toExponential());
  return { sign, figures: whole + fraction, exponent: Number(power) - fraction.length };
}

/** At most so many significant digits, without zeros at the end. */
function rounded(decimal, digits) {
  if (decimal.figures.length <= digits) return decimal;
  const dropped = decimal.figures.length - digits;
  const up = decimal.figures[digits] >= "5" ? 1n : 0n;
  let figures = String(BigInt(decimal.figures.slice(0, digits)) + up);
  let exponent = decimal.exponent + dropped;
  while (figures.length > 1 && figures.endsWith("0")) {
    figures = figures.slice(0, -1);
    exponent += 1;
  }
  return { sign: decimal.sign, figures, exponent };
}

/** Digits times a power of ten, without an exponent. */
function plain(figures, exponent) {
  if (exponent >= 0) return figures === "0" ? "0" : figures + "0".repeat(exponent);
  const padded = figures.padStart(1 - exponent, "0");
  const point = padded.length + exponent;
  return `${padded.slice(0, point)}.${padded.slice(point)}`;
}

function prefixesOf(unit) {
  const prefixes = Object.hasOwn(UNITS, unit) ? UNITS[unit] : [];
  return prefixes.length ? prefixes : [""];
}

/** Take a unit apart; one that is not known here has no prefix. */
function takeApart(text) {
  let unit = text.normalize("NFKC").split(/\s+/).filter(Boolean).join(" ");
  for (const [sign, name] of SIGNS) {
    if (unit.endsWith(sign)) {
      unit = unit.slice(0, -sign.length) + name;
      break;
    }
  }
  const prefix = unit.slice(0, 1);
  const base = unit.slice(1);
  const hasPrefix =
    !Object.hasOwn(UNITS, unit) && Object.hasOwn(UNITS, base) && UNITS[base].length;
  if (hasPrefix && Object.hasOwn(PREFIXES, prefix)) return { base, exponent: PREFIXES[prefix] };
  return { base: unit, exponent: 0 };
}
