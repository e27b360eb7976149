/** Buttons for what `fanfare demo load` does: people who talk, so that there is something to see. */
import { element } from "../dom.js";
import { ask } from "./ask.js";

const RATES = [50, 200, 1000];
const SECONDS = 30;

export class Load {
  /** @param {string} key */
  constructor(key) {
    this.key = key;
    this.outcome = element("p", { role: "status" });
    const button = (/** @type {string} */ name, /** @type {number} */ rate) =>
      element("button", { type: "button", on: { click: () => this.load(rate) } }, name);
    this.node = element(
      "section",
      { "aria-label": "Load" },
      element("h2", {}, "Load"),
      element("div", { class: "controls" }, ...RATES.map((rate) => button(`${rate} messages a second`, rate)), button("Stop", 0)),
      this.outcome,
    );
  }

  /** @param {number} rate */
  async load(rate) {
    this.outcome.textContent = rate ? "Making a guild for it…" : "Stopping…";
    try {
      await ask(this.key, { do: "load", rate, seconds: SECONDS });
      this.outcome.textContent = rate
        ? `Eight people talk for ${SECONDS} s, ${rate} messages a second in all.`
        : "Nobody talks any more.";
    } catch (error) {
      this.outcome.textContent = `Not done: ${/** @type {Error} */ (error).message}`;
    }
  }
}
