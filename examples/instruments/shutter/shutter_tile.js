// The shutters' own tile on the panel: a lamp for each, and a button that moves it.
//
// shutter_server.py names this file as panel_tile. A tile is a function of what the panel gives it:
// it returns the element that is shown, and show(state), which is called with each new state.

function shutters({ el, send, control }) {
  const element = el("ul", { class: "shutters", role: "list" });
  const problem = el("p", { class: "refusal", role: "alert" });
  const lamps = [];

  async function toggle(channel) {
    problem.textContent = "";
    const state = lamps[channel].isOpen ? "closed" : "open";
    try {
      await send("set_shutter", { channel, state });
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  function lampOf(channel) {
    const lamp = el("span", { class: "lamp" });
    const button = el("button", { type: "button", onclick: () => toggle(channel) });
    element.append(el("li", { class: "channel" }, lamp, button));
    return { lamp, button, isOpen: false };
  }

  // Nothing moves from this page before a person has taken control.
  function allow() {
    for (const { button } of lamps) button.disabled = !control.held;
  }
  control.addEventListener("change", allow);

  return {
    element: el("div", {}, element, problem),
    show({ shutters: states }) {
      (states ?? []).forEach((state, channel) => {
        lamps[channel] ??= lampOf(channel);
        const each = lamps[channel];
        each.isOpen = state === "open";
        each.lamp.textContent = `shutter ${channel}: ${state}`;
        each.lamp.classList.toggle("on", each.isOpen);
        each.button.textContent = `${each.isOpen ? "Close" : "Open"} ${channel}`;
      });
      allow();
    },
  };
}

// By the names of the server's instruments.
export default { shutter: shutters };
