/**
 * The sign-in page: a token for a session.
 */

import { setText } from "./dom.js";
import { signIn } from "./session.js";

const entry = document.querySelector("#token");
const refusal = document.querySelector("#refusal");

setText(
  document.querySelector("#server"),
  `${location.host} wants a token before it shows its instruments.`,
);
entry.focus();

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  setText(refusal, "");
  try {
    await signIn(entry.value.trim());
    location.assign("./");
  } catch (error) {
    setText(refusal, error.message);
    entry.select();
  }
});
