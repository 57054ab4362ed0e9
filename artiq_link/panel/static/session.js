/**
 * The session of a browser: opened by a token, ended by signing out. The server keeps it in a cookie
 * that no script can read; here is only noted that there is one.
 */

const SIGNED_IN = "artiq_link.signed_in";

/** Open a session; throws an Error that says why not. */
export async function signIn(token) {
  await post({ token });
  localStorage.setItem(SIGNED_IN, "yes");
}

/** End the session. */
export async function signOut() {
  localStorage.removeItem(SIGNED_IN);
  await post({ token: null });
}

/** Whether this browser has signed in, and not out. */
export function hasSession() {
  return localStorage.getItem(SIGNED_IN) !== null;
}

async function post(body) {
  let response;
  try {
    response = await fetch("session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("There is no connection to the server.");
  }
  if (!response.ok)
    throw new Error((await response.text()).trim() || `The server answered ${response.status}.`);
}
