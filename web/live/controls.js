/** Buttons for what `fanfare scale` does. */
import { element } from "../dom.js";
import { ask } from "./ask.js";

const ROLES = ["gateway", "fanout", "notifier", "archiver"];

export class Controls {
  /** @param {string} key */
  constructor(key) {
    this.key = key;
    /** @type {Map<string, number>} */
    this.counts = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.shown = new Map();
    this.outcome = element("p", { role: "status" });
    this.busy = false;
    /** @type {HTMLButtonElement[]} */
    this.buttons = [];
    this.node = element(
      "section",
      { "aria-label": "Scale" },
      element("h2", {}, "Scale"),
      element("div", { class: "controls" }, ...ROLES.map((role) => this.control(role))),
      this.outcome,
    );
  }

  /** @param {string} role */
  control(role) {
    const count = element("output", { "aria-label": `Number of ${role}` }, "–");
    this.shown.set(role, count);
    const button = (/** @type {string} */ sign, /** @type {string} */ name, /** @type {1 | -1} */ by) => {
      const made = element("button", { type: "button", "aria-label": name, on: { click: () => this.scale(role, by) } }, sign);
      this.buttons.push(made);
      return made;
    };
    return element("div", { class: "control" }, element("span", {}, role), button("−", `One ${role} less`, -1), count, button("+", `One ${role} more`, 1));
  }

  /** @param {import("./stream.js").Tables} tables */
  draw(tables) {
    for (const role of ROLES) {
      const count = Object.values(tables.processes ?? {}).filter((one) => one.role === role).length;
      this.counts.set(role, count);
      const shown = this.shown.get(role);
      if (shown && shown.textContent !== String(count)) shown.textContent = String(count);
    }
  }

  /** @param {string} role @param {1 | -1} by */
  async scale(role, by) {
    if (this.busy) return;
    const wanted = Math.max(0, (this.counts.get(role) ?? 1) + by);
    this.working(true);
    this.outcome.textContent = `Making it ${role}=${wanted}…`;
    try {
      const said = await ask(this.key, { do: "scale", wanted: { [role]: wanted }, probe: true });
      const gap = said.gap_s === null ? "" : ` Deliveries waited for ${said.gap_s} s at the most.`;
      this.outcome.textContent = `There is ${role}=${wanted} now.${gap}`;
    } catch (error) {
      this.outcome.textContent = `Not done: ${/** @type {Error} */ (error).message}`;
    } finally {
      this.working(false);
    }
  }

  /** @param {boolean} busy */
  working(busy) {
    this.busy = busy;
    for (const button of this.buttons) button.disabled = busy;
  }
}
