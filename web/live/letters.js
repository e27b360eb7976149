/** Dead letters: records that were set aside, each with what can be done about it. */
import { element } from "../dom.js";
import { ask } from "./ask.js";

const EACH_MS = 10_000;

/** @typedef {{id: string, group: string, position: string, time_ms: number, error: string, reason: string}} Letter */

export class Letters {
  /** @param {string} key */
  constructor(key) {
    this.key = key;
    this.count = element("p", { role: "status" }, "Looking…");
    this.list = element("ul", { class: "letters", role: "list" });
    this.node = element("section", { "aria-label": "Dead letters" }, element("h2", {}, "Dead letters"), this.count, this.list);
    this.shown = "";
  }

  /** @param {() => boolean} stopped */
  async run(stopped) {
    while (!stopped()) {
      await this.look();
      await new Promise((done) => setTimeout(done, EACH_MS));
    }
  }

  async look() {
    try {
      this.draw(await ask(this.key, { do: "letters" }));
    } catch (error) {
      this.count.textContent = /** @type {Error} */ (error).message;
    }
  }

  /** @param {{count: number, letters: Letter[]}} found */
  draw({ count, letters }) {
    this.count.textContent = count ? `${count} records were set aside.` : "No record was set aside.";
    const shown = JSON.stringify(letters);
    if (shown === this.shown) return;
    this.shown = shown;
    this.list.replaceChildren(
      ...letters.map((letter) =>
        element(
          "li",
          {},
          element("strong", {}, letter.id),
          element("span", {}, ` ${letter.group}, ${new Date(letter.time_ms).toLocaleString()}: ${letter.error}: ${letter.reason} `),
          this.button("Retry", "retry", letter),
          this.button("Drop", "drop", letter),
        ),
      ),
    );
  }

  /** @param {string} text @param {string} what @param {Letter} letter */
  button(text, what, letter) {
    const act = async (/** @type {Event} */ event) => {
      const pressed = /** @type {HTMLButtonElement} */ (event.currentTarget);
      pressed.disabled = true;
      try {
        await ask(this.key, { do: what, id: letter.id });
        await this.look();
      } catch (error) {
        this.count.textContent = `Not done: ${/** @type {Error} */ (error).message}`;
        pressed.disabled = false;
      }
    };
    return element("button", { type: "button", "aria-label": `${text} ${letter.id}`, on: { click: act } }, text);
  }
}
