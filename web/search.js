/** Searching the messages of the guild that is on the screen. */
import { announce, element } from "./dom.js";
import { madeAt } from "./state.js";

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const SHOWN = 200;

export class Search {
  /**
   * @param {import("./state.js").State} state
   * @param {import("./rest.js").Rest} rest
   * @param {(message: any) => void} go shows a message where it was said
   */
  constructor(state, rest, go) {
    this.state = state;
    this.rest = rest;
    this.go = go;
    this.asked = 0;
    this.box = element("input", { type: "search", "aria-label": "Search messages", placeholder: "Search", maxLength: 100, dir: "auto" });
    this.form = element(
      "form",
      { class: "search", role: "search", on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); this.ask(); } } },
      this.box,
    );
    this.found = element("section", { class: "found", "aria-label": "Search results", hidden: true });
  }

  /** Another guild or conversation is shown. @param {boolean} direct */
  open(direct) {
    // Only messages of guilds can be searched.
    this.form.hidden = direct;
    if (direct) this.close();
  }

  close() {
    this.asked += 1;
    this.found.hidden = true;
    this.found.replaceChildren();
  }

  async ask() {
    const words = this.box.value.trim();
    const guild = this.state.channels.get(this.state.open)?.guild_id;
    this.close();
    if (!words || !guild) return;
    const mine = this.asked;
    /** @type {HTMLElement[]} */
    let shown;
    try {
      const { messages, total_results } = await this.rest.ask("GET", `/guilds/${guild}/messages/search?content=${encodeURIComponent(words)}`);
      const said = total_results === 1 ? "1 message" : `${total_results} messages`;
      announce(`${said} found`);
      shown = [
        element("p", {}, total_results > messages.length ? `${said}, the newest ${messages.length}` : said),
        element("ul", {}, ...messages.map((/** @type {any[]} */ [message]) => element("li", {}, this.row(message)))),
      ];
    } catch (error) {
      shown = [element("p", { class: "problem", role: "alert" }, `Not searched: ${/** @type {Error} */ (error).message}`)];
    }
    if (mine !== this.asked) return;
    const close = element("button", { type: "button", on: { click: () => { this.close(); this.box.focus(); } } }, "Close");
    this.found.replaceChildren(...shown, close);
    this.found.hidden = false;
  }

  /** @param {any} message */
  row(message) {
    const channel = this.state.channels.get(message.channel_id);
    return element(
      "button",
      { type: "button", on: { click: () => this.go(message) } },
      element("bdi", { class: "author" }, this.state.name(message.author.id, message.channel_id)),
      ` #${channel?.name ?? "a thread"}, ${DAY.format(madeAt(message.id))}: `,
      element("bdi", {}, (message.content || "a message without text").slice(0, SHOWN)),
    );
  }
}
