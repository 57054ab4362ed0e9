/**
 * Tiles: what a card shows of an instrument in place of the plain list of its state.
 *
 * A tile is a function of a `TileContext` that gives `{element, show(state)}`; `show` is called with
 * each new state, but never with null. Which instrument has which tile is said by name, in the lab's
 * own `/tile.js`, or by the commands that it has.
 */

import { ddsTile } from "./dds_tile.js";
import { el, svg } from "./dom.js";
import { StateView, unitsOf } from "./value_view.js";

/** The tiles of instruments of a kind, known by their commands. */
const KINDS = [{ commands: ["set_frequency", "get_all", "ramp", "play"], tile: ddsTile }];

/** The lab's own tiles by their instruments' names; none where it has no file, or a broken one. */
export async function ownTiles() {
  try {
    const { default: tiles } = await import("./tile.js");
    return { tiles: tiles ?? {}, problem: null };
  } catch (error) {
    return { tiles: {}, problem: `The lab's own tile cannot be shown: ${error.message}` };
  }
}

/** The tile for an instrument. */
export function tileFor(context, own) {
  const { name, description } = context.instrument;
  if (Object.hasOwn(own, name)) return guarded(own[name], context);
  const commands = description?.commands ?? {};
  const kind = KINDS.find(({ commands: needed }) =>
    needed.every((command) => command in commands),
  );
  return kind ? kind.tile(context) : new StateView(unitsOf(description));
}

/** A lab's tile, in whose place the plain state is shown where it throws an error. */
function guarded(make, context) {
  const { name, description } = context.instrument;
  const element = el("div", {});
  let tile = null;
  const attempt = (action) => {
    try {
      action();
    } catch (error) {
      console.error(error);
      tile = new StateView(unitsOf(description));
      const sentence = `The lab's own tile of ${name} cannot be shown: ${error.message}`;
      element.replaceChildren(el("p", { class: "refusal" }, sentence), tile.element);
    }
  };
  attempt(() => {
    tile = make(context);
    element.replaceChildren(tile.element);
  });
  return {
    element,
    show(state) {
      attempt(() => tile.show(state));
      if (tile instanceof StateView) tile.show(state);
    },
  };
}

/** What a tile is given: the instrument, ways to ask it, and ways to make elements. */
export class TileContext {
  /** Make an element: `el("button", {type: "button", onclick: stop}, "Stop")`. */
  el = el;
  svg = svg;

  constructor({ lab, control, instrument }) {
    this.lab = lab;
    /** Who has control: `control.held` is null while this page only watches; tells by "change". */
    this.control = control;
    /** Its `name`, `description` as `link.describe` has it, and `state`. */
    this.instrument = instrument;
  }

  /**
   * Have a command executed; gives its result. Throws an Error whose message says why not, also where
   * this page has no control.
   */
  send = async (command, parameters = {}) => {
    const { name, mayControl } = this.instrument;
    if (!mayControl) throw new Error(`Your token may only watch ${name}.`);
    if (!this.control.held) throw new Error(`Take control of ${name} first.`);
    return this.look(command, parameters);
  };

  /** As `send`, for a command that changes nothing and needs no control. */
  look = (command, parameters = {}) => this.control.send(this.commandId(command), parameters);

  /** The name under which a command of this instrument is sent: short where that is enough. */
  commandId(command) {
    const owners = [...this.lab.instruments.values()].filter(
      ({ description }) => description && command in description.commands,
    );
    return owners.length === 1 ? command : `${this.instrument.name}.${command}`;
  }

  /** Call `listener` with each exchange of this instrument that ends from now on. */
  onExchange(listener) {
    this.lab.addEventListener("exchange", ({ detail: { exchange } }) => {
      if (exchange.instrument === this.instrument.name) listener(exchange);
    });
  }
}
