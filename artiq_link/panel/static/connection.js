/**
 * One WebSocket to the server: requests and their replies in order, and events in between.
 */

/** The connection ended before the reply came: nobody knows here what became of the request. */
export class ConnectionLost extends Error {}

/** The server said no; `reply` is its whole reply, with `code` and perhaps `where`. */
export class Refused extends Error {
  constructor(reply) {
    super(reply.error);
    this.reply = reply;
    this.code = reply.code;
    this.where = reply.where ?? null;
  }
}

/** The address of the server's WebSocket: the page's own. */
export function socketAddress(location = window.location) {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/`;
}

/** Requests that are answered one after the other, as the server answers those of a connection. */
export class Connection {
  #socket;
  #waiting = [];
  #opened;

  /** Connect. `onEvent` is called with each event, `onClose` once, when the connection has ended. */
  constructor(address, { onEvent = () => {}, onClose = () => {} } = {}) {
    this.#socket = new WebSocket(address);
    this.#opened = new Promise((resolve, reject) => {
      this.#socket.addEventListener("open", resolve);
      this.#socket.addEventListener("close", () =>
        reject(new ConnectionLost("there is no connection to the server")),
      );
    });
    this.#opened.catch(() => {});
    this.#socket.addEventListener("message", ({ data }) => this.#receive(data, onEvent));
    this.#socket.addEventListener("close", () => {
      for (const { reject } of this.#waiting.splice(0)) {
        reject(new ConnectionLost("the connection was lost before the reply came"));
      }
      onClose();
    });
  }

  /** Send a request; gives the reply's result. Throws `Refused` and `ConnectionLost`. */
  async ask(commandId, parameters = {}, link = null) {
    await this.#opened;
    if (this.#socket.readyState !== WebSocket.OPEN) {
      throw new ConnectionLost("there is no connection to the server");
    }
    const request = { command_id: commandId, ...parameters, ...(link && { link }) };
    const reply = await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.send(JSON.stringify(request));
    });
    if (reply.status === "fail") throw new Refused(reply);
    return reply.result;
  }

  /** Send a request whose reply nobody waits for, as when the page is left. */
  tell(commandId, parameters) {
    this.ask(commandId, parameters).catch(() => {});
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** Whether a request may be sent, at once or as soon as the connection is open. */
  get mayAsk() {
    return (
      this.#socket.readyState === WebSocket.OPEN ||
      this.#socket.readyState === WebSocket.CONNECTING
    );
  }

  close() {
    this.#socket.close();
  }

  #receive(data, onEvent) {
    if (typeof data !== "string") return; // no buffers were asked for
    const message = JSON.parse(data);
    if (Object.hasOwn(message, "event")) onEvent(message);
    else this.#waiting.shift()?.resolve(message);
  }
}
