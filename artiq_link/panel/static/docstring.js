/**
 * Docstrings as elements: paragraphs without their line breaks, names in backticks as code.
 */

import { el } from "./dom.js";

/** The paragraphs of a docstring. */
export function paragraphs(text) {
  return (text ?? "")
    .split(/\n\s*\n/)
    .filter((paragraph) => paragraph.trim())
    .map((paragraph) => el("p", {}, ...phrases(paragraph)));
}

/** One paragraph's text and names. */
function phrases(paragraph) {
  const parts = paragraph
    .trim()
    .replace(/\s+/g, " ")
    .split(/`+([^`]+)`+/);
  return parts.map((part, index) => (index % 2 ? el("code", {}, part) : part));
}
