/**
 * Control of an instrument: nothing is commanded from this page before a person has taken a lease.
 *
 * The lease is renewed while the page is open, and given back when it is left. One that somebody else
 * holds is taken away from him only where the person says so.
 */

import { Connection, ConnectionLost, Refused, socketAddress } from "./connection.js";

const SECONDS = 30; // of a lease: so long an instrument stays held after this page has died
const RENEWAL = 10;
const ASK_AGAIN = 1;

/** What one person holds of one instrument. Tells of changes by the event "change". */
export class Control extends EventTarget {
  /** The lease that this page holds, `{lease, owner, until}`; null while it only watches. */
  held = null;
  /** Why control was lost, empty where that is all; null where it was not. */
  lost = null;

  #lab;
  #name;
  #timer = null;
  #lane = null;

  constructor(lab, name) {
    super();
    this.#lab = lab;
    this.#name = name;
    lab.addEventListener("live", () => this.#renew());
    lab.addEventListener("lease", ({ detail: { instrument } }) => {
      // Somebody has taken it away: the renewal will say so.
      if (instrument.name === name && this.isForeign(instrument.status.lease)) this.#renew();
    });
    window.addEventListener("pagehide", () => {
      if (this.held) lab.tell("link.release", { lease: this.held.lease });
      this.#set(null);
    });
  }

  /** Take the instrument under a name; with `force` from whoever holds it. Throws `Refused`. */
  async take(owner, force = false) {
    const wanted = { instrument: this.#name, owner, seconds: SECONDS, ...(force && { force }) };
    const { lease, until } = await this.#lab.ask("link.acquire", wanted);
    this.#set({ lease, owner, until });
  }

  /** Give the instrument back. */
  async release() {
    const { lease } = this.held;
    this.#set(null);
    await this.#lab.ask("link.release", { lease });
  }

  /** Whether somebody else holds the instrument, by its part of the status. */
  isForeign(lease) {
    return Boolean(lease) && !(this.held && lease.owner === this.held.owner);
  }

  /**
   * Have a command executed, once; gives its result. Throws `Refused` and `ConnectionLost`.
   *
   * Commands of an instrument are answered one after the other on a connection of their own, so that
   * nothing else waits for them. Where that is lost, the server is asked what became of the command.
   */
  async send(commandId, parameters, id = newId()) {
    const link = { id };
    if (this.held) Object.assign(link, { lease: this.held.lease, owner: this.held.owner });
    if (!this.#lane?.mayAsk) this.#lane = new Connection(socketAddress());
    const lane = this.#lane;
    try {
      return await lane.ask(commandId, parameters, link);
    } catch (error) {
      if (error instanceof ConnectionLost) return this.#outcome(id);
      throw error;
    }
  }

  /** End a command that this page has sent. */
  abort(id) {
    const link = this.held ? { lease: this.held.lease } : null;
    return this.#lab.ask("link.abort", { id }, link);
  }

  /** What became of a request whose connection was lost. */
  async #outcome(id) {
    for (;;) {
      const { outcome, reply } = await this.#ask("link.outcome", { id });
      if (reply?.status === "fail") throw new Refused(reply);
      if (reply) return reply.result;
      if (outcome !== "running") {
        throw new ConnectionLost(
          outcome === "never_arrived"
            ? "The connection was lost before the request arrived; it was not executed."
            : "The connection was lost, and the server does not know whether the command was executed.",
        );
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN * 1000));
    }
  }

  /** Ask the lab PC, as soon as it is there again. */
  async #ask(commandId, parameters) {
    for (;;) {
      try {
        return await this.#lab.ask(commandId, parameters);
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        await new Promise((resolve) =>
          this.#lab.addEventListener("live", resolve, { once: true }),
        );
      }
    }
  }

  async #renew() {
    if (!this.held) return;
    clearTimeout(this.#timer);
    const { lease } = this.held;
    try {
      const { until } = await this.#lab.ask("link.renew", { lease });
      if (this.held?.lease === lease) this.#set({ ...this.held, until });
    } catch (error) {
      // That the lease has ended, with its number, tells a person nothing more.
      if (error instanceof Refused) this.#set(null, error.code === "stale" ? "" : error.message);
      // Without a connection it is tried again with the next one.
    }
  }

  #set(held, lost = null) {
    clearTimeout(this.#timer);
    this.held = held;
    this.lost = lost;
    if (held) this.#timer = setTimeout(() => this.#renew(), RENEWAL * 1000);
    this.dispatchEvent(new Event("change"));
  }
}

/** An id that no other request has. */
export function newId() {
  // crypto.randomUUID is there for pages over https alone.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
