/**
 * What the page knows of the lab PC, kept up to date: its description, states, leases and exchanges.
 *
 * One connection listens. Where it ends, it is made again with growing pauses, and what is known
 * meanwhile stays, marked as stale. A server without `link.subscribe` is asked for its status once a
 * second instead.
 */

import { Connection, ConnectionLost, Refused, socketAddress } from "./connection.js";
import { mergePatch } from "./merge_patch.js";

const KINDS = ["state", "progress", "exchange", "lease", "log", "instrument"];

const FIRST_PAUSE = 0.5;
const LONGEST_PAUSE = 15;
const STATUS_PERIOD = 5; // seconds; each is a sign of life as well
const POLL_PERIOD = 1; // where nothing is pushed
const FAILURES = 20; // among which those of each instrument are looked for
const PATIENCE = 5; // seconds without a reply, after which what is shown counts as stale
const GONE = 20; // seconds without a reply, after which another connection is made

/** What is known of one instrument. */
class Instrument {
  constructor(name) {
    this.name = name;
    /** Its part of `link.describe`; null where it has none. */
    this.description = null;
    /** Its part of `link.status`. */
    this.status = {};
    /** Whether who looks at this page may take control of it; otherwise he may only watch. */
    this.mayControl = true;
    /** What its `state()` gave last; undefined before anything is known. */
    this.state = undefined;
    this.stateError = null;
    this.version = null;
    /** The newest progress event; null while nothing runs. */
    this.progress = null;
    /** The newest failure of the exchanges that this page has seen. */
    this.failure = null;
    /** When this was last heard of, in ms of the page's clock. */
    this.heard = null;
  }
}

/**
 * The lab PC as this page sees it.
 *
 * It tells of changes by the events description, status, state, activity, lease, exchange, log,
 * connected and live.
 */
export class Lab extends EventTarget {
  instruments = new Map();
  description = null;
  status = null;
  /** "connecting", "live", "stale", "reconnecting" or "signed out". */
  connected = "connecting";
  /** When anything was last heard of the server, and when it is tried again, in ms. */
  heard = null;
  nextTry = null;
  /** Whether the server tells of changes by itself. */
  pushes = false;

  #connection = null;
  #archive = null;
  #pause = FIRST_PAUSE;
  #timer = null;
  #describedBoot = null;
  #newest = null;

  start() {
    this.#connect();
  }

  /** Ask on the connection that listens: for the link's own commands, which wait for nothing. */
  ask(commandId, parameters, link) {
    if (this.#connection === null) {
      return Promise.reject(new ConnectionLost("there is no connection to the server"));
    }
    return this.#connection.ask(commandId, parameters, link);
  }

  /** Look something up in the journal, on a connection of its own: that may take long. */
  look(parameters) {
    if (!this.#archive?.mayAsk) this.#archive = new Connection(socketAddress());
    return this.#archive.ask("link.history", parameters);
  }

  /** As `ask`, where the page is left and nobody waits for the reply. */
  tell(commandId, parameters) {
    this.#connection?.tell(commandId, parameters);
  }

  /** Try again now, without waiting for the pause to end. */
  retry() {
    if (this.connected !== "reconnecting") return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  instrument(name) {
    if (!this.instruments.has(name)) this.instruments.set(name, new Instrument(name));
    return this.instruments.get(name);
  }

  /** The instrument with which an exchange of the past can be asked for again; null: with none. */
  instrumentFor({ instrument: name, command }) {
    // What belongs to no instrument is executed with the first.
    const [first] = this.instruments.values();
    const instrument = name == null ? first : this.instruments.get(name);
    if (!instrument?.mayControl) return null;
    const bare = command.slice(command.lastIndexOf(".") + 1);
    const isDeclared = bare in (instrument.description?.commands ?? {});
    const isFree = this.description.interact !== null && instrument === first;
    return isDeclared || isFree || !instrument.description ? instrument : null;
  }

  #connect() {
    this.nextTry = null;
    const connection = new Connection(socketAddress(), {
      onEvent: (event) => this.#receive(event),
      onClose: () => this.#lose(connection),
    });
    this.#connection = connection;
    this.#settle(connection).catch((error) => this.#fail(connection, error));
  }

  /** Learn everything anew, and listen from then on. */
  async #settle(connection) {
    const status = await this.#within(connection.ask("link.status"));
    const isFirst = this.#describedBoot === null;
    // Behind the dot stands what hardware was lost since, which is no other server.
    const [start] = status.boot.split(".");
    const isNewStart = start !== this.#describedBoot;
    if (isNewStart) {
      this.#adoptDescription(await connection.ask("link.describe"));
      this.#describedBoot = start;
      this.#newest = null;
    }
    this.#adoptStatus(status);
    await this.#subscribe(connection);
    if (connection !== this.#connection) return;
    this.#pause = FIRST_PAUSE;
    this.#enter("live");
    this.#emit("live", { isRestart: isNewStart && !isFirst });
    this.#keepAsking(connection);
    this.#lookForFailures().catch(() => {}); // it is shown without them
  }

  /** Find out what failed last, before this page was opened. */
  async #lookForFailures() {
    for (const exchange of await this.look({ failed: true, limit: FAILURES })) {
      const instrument = this.instruments.get(exchange.instrument);
      if (instrument && !(instrument.failure?.received > exchange.received))
        instrument.failure = exchange;
    }
    this.#emit("status");
  }

  /** Take over what the instruments are; those that are others than before begin anew. */
  #adoptDescription(description) {
    this.description = description;
    const described = description.instruments;
    for (const [name, { description: before }] of this.instruments) {
      if (JSON.stringify(before) !== JSON.stringify(described[name] ?? null))
        this.instruments.delete(name);
    }
    for (const [name, part] of Object.entries(described)) {
      const instrument = this.instrument(name);
      instrument.description = part;
      instrument.version = null;
      instrument.progress = null;
      instrument.failure = null;
    }
    this.#emit("description");
  }

  async #subscribe(connection) {
    const versions = {};
    for (const { name, version } of this.instruments.values()) {
      if (version !== null) versions[name] = version;
    }
    const since = Object.keys(versions).length ? { boot: this.#describedBoot, versions } : null;
    try {
      const answer = await connection.ask("link.subscribe", {
        kinds: KINDS,
        ...(since && { since }),
      });
      this.pushes = true;
      for (const [name, change] of Object.entries(answer.instruments ?? {})) {
        this.#adoptState(this.instrument(name), change);
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.pushes = false;
      await this.#pollExchanges();
    }
  }

  /** Ask for the status for as long as this connection lasts. */
  async #keepAsking(connection) {
    while (connection === this.#connection && connection.isOpen) {
      await sleep(this.pushes ? STATUS_PERIOD : POLL_PERIOD);
      if (connection !== this.#connection) return;
      const asked = connection.ask("link.status");
      try {
        this.#adoptStatus(await this.#within(asked));
        if (!this.pushes) await this.#pollExchanges();
        this.#enter("live");
      } catch (error) {
        if (error instanceof Late) {
          this.#enter("stale");
          // A computer that was suspended never hears that its connection is gone.
          const given = asked.catch(() => null);
          const late = await Promise.race([
            given,
            sleep(GONE - PATIENCE).then(() => connection.close()),
          ]);
          if (late) {
            this.#adoptStatus(late);
            this.#enter("live");
          }
        } else {
          this.#fail(connection, error);
          return;
        }
      }
    }
  }

  /** Fetch the exchanges that would be pushed otherwise. */
  async #pollExchanges() {
    const which = this.#newest === null ? { limit: 1 } : { after: this.#newest };
    const listed = await this.look(which);
    const isFirst = this.#newest === null;
    if (listed.length) this.#newest = listed[listed.length - 1].n;
    else this.#newest ??= 0;
    if (!isFirst) listed.forEach((exchange) => this.#receive({ event: "exchange", ...exchange }));
  }

  #within(promise) {
    return Promise.race([promise, sleep(PATIENCE).then(() => Promise.reject(new Late()))]);
  }

  #fail(connection, error) {
    if (error instanceof Refused && error.code === "unauthorized") {
      this.#connection = null;
      connection.close();
      this.#enter("signed out");
    } else {
      connection.close();
    }
  }

  #lose(connection) {
    if (connection !== this.#connection) return;
    this.#connection = null;
    const seconds = this.#pause * (0.75 + Math.random() / 2); // many pages do not all come at once
    this.#pause = Math.min(this.#pause * 1.7, LONGEST_PAUSE);
    this.nextTry = performance.now() + seconds * 1000;
    this.#timer = setTimeout(() => this.#connect(), seconds * 1000);
    this.#enter("reconnecting");
  }

  #receive(event) {
    this.heard = performance.now();
    const instrument = event.instrument == null ? null : this.instrument(event.instrument);
    if (instrument) instrument.heard = this.heard;
    switch (event.event) {
      case "state":
        this.#adoptState(instrument, event);
        break;
      case "progress": {
        const { command, fraction, text, activity } = event;
        const { status } = instrument;
        const state = status.state === "lost" ? "lost" : command == null ? "idle" : "busy";
        instrument.progress = command == null ? null : event;
        instrument.status = { ...status, state, command, fraction, text, activity };
        this.#emit("activity", { instrument });
        break;
      }
      case "lease":
        instrument.status = { ...instrument.status, lease: event.lease };
        this.#emit("lease", { instrument });
        break;
      case "instrument": {
        const { event: kind, instrument: name, ...status } = event;
        instrument.status = { lease: instrument.status.lease, ...status };
        this.#emit("activity", { instrument });
        break;
      }
      case "exchange":
        if (instrument && event.outcome && event.outcome !== "done") instrument.failure = event;
        this.#emit("exchange", { exchange: event });
        break;
      case "log":
        this.#emit("log", { line: event });
        break;
      default: // a server newer than this page tells of more
    }
  }

  #adoptState(instrument, change) {
    if ("state" in change) instrument.state = change.state;
    else if ("patch" in change)
      instrument.state = mergePatch(instrument.state ?? {}, change.patch);
    instrument.stateError = change.error ?? null;
    instrument.version = change.version ?? instrument.version;
    this.#emit("state", { instrument });
  }

  #adoptStatus(status) {
    this.status = status;
    this.heard = performance.now();
    for (const [name, part] of Object.entries(status.instruments)) {
      const instrument = this.instrument(name);
      instrument.status = part;
      instrument.mayControl = status.roles?.[name] !== "watch"; // older servers do not tell
      instrument.heard = this.heard;
      if (part.state !== "busy" && !part.activity) instrument.progress = null;
    }
    this.#emit("status");
  }

  #enter(connected) {
    if (this.connected === connected && connected !== "reconnecting") return;
    this.connected = connected;
    this.#emit("connected");
  }

  #emit(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** No reply came within the patience of this page. */
class Late extends Error {}

function sleep(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
