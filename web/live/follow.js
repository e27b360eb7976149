/** Follows a message: it is sent as a person of the demo, and each station says when it came by. */
import { element } from "../dom.js";
import { offers } from "../login.js";
import { Rest } from "../rest.js";
import { ask } from "./ask.js";

const GUILDS = 1;
const MESSAGES = 1 << 9;
const CONTENT = 1 << 15;
const TEXT = 0;
const WAIT_MS = 10_000;

export class Follow {
  /** @param {string} key */
  constructor(key) {
    this.key = key;
    this.text = element("input", { id: "followed", type: "text", required: true, maxLength: 200, value: "Where does this go?", autocomplete: "off" });
    this.button = element("button", { type: "submit" }, "Follow");
    this.state = element("p", { role: "status" }, "");
    this.list = element("ol", { class: "way", role: "list" });
    const form = element(
      "form",
      { class: "line", "aria-label": "Follow a message", on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); this.follow(); } } },
      element("label", { htmlFor: "followed" }, "Message"), this.text, this.button,
    );
    this.node = element("section", { "aria-label": "Follow a message" }, element("h2", {}, "Follow a message"), form, this.state, this.list);
  }

  async follow() {
    this.button.disabled = true;
    this.list.replaceChildren();
    this.state.textContent = "On its way…";
    try {
      const token = Object.values((await offers()).users)[0];
      if (!token) throw new Error("it is sent as a person of the demo, and none is offered here");
      this.draw(await this.send(token));
      this.state.textContent = "";
    } catch (error) {
      this.state.textContent = `Not followed: ${/** @type {Error} */ (error).message}`;
    } finally {
      this.button.disabled = false;
    }
  }

  /** @param {string} token @returns {Promise<[string, string, number][]>} stations: what, where, and ms since the start */
  async send(token) {
    const rest = new Rest(token);
    const [guild] = await rest.ask("GET", "/users/@me/guilds");
    const channel = (await rest.ask("GET", `/guilds/${guild.id}/channels`)).find((/** @type {any} */ one) => one.type === TEXT);
    const socket = await listening(token, (await rest.ask("GET", "/gateway")).url);
    try {
      const began = now();
      const message = await rest.ask("POST", `/channels/${channel.id}/messages`, { content: this.text.value });
      const accepted = now();
      const came = await socket.came(message.id);
      const found = await ask(this.key, { do: "follow", message: message.id });
      /** @type {[string, string, number][]} */
      const stations = [["gateway", `accepted for #${channel.name}`, accepted - began]];
      if (found.log) stations.push(["Kafka", `chat.events, partition ${found.log.partition}, offset ${found.log.offset}`, found.log.at_ms - began]);
      if (found.delivery) stations.push(["fan-out", `chat.deliveries, offset ${found.delivery.offset}`, found.delivery.at_ms - began]);
      for (const one of found.inboxes) stations.push(["notifier", `inbox ${one.inbox}`, one.at_ms - began]);
      stations.push(["socket", "this browser has it", came - began]);
      return stations.sort(([, , a], [, , b]) => a - b);
    } finally {
      socket.close();
    }
  }

  /** @param {[string, string, number][]} stations */
  draw(stations) {
    this.list.replaceChildren(
      ...stations.map(([name, where, ms]) =>
        element("li", { class: "station lit" }, element("h3", {}, name), element("p", { class: "figure" }, `${Math.max(0, Math.round(ms))} ms`), element("p", { class: "small" }, where)),
      ),
    );
  }
}

/** @returns {number} ms since 1970, with a fraction */
function now() {
  return performance.timeOrigin + performance.now();
}

/**
 * @param {string} token @param {string} url
 * @returns {Promise<{came: (id: string) => Promise<number>, close: () => void}>} once it is told of what is said
 */
function listening(token, url) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  /** @type {Map<string, (at: number) => void>} */
  const waiting = new Map();
  const socket = new WebSocket(`${url}?v=10&encoding=json`);
  const came = (/** @type {string} */ id) =>
    new Promise((/** @type {(at: number) => void} */ done, failed) => {
      const at = seen.get(id);
      if (at !== undefined) done(at);
      else waiting.set(id, done);
      setTimeout(() => failed(new Error("it did not come back over the socket")), WAIT_MS);
    });
  return new Promise((ready, failed) => {
    socket.onclose = () => failed(new Error("the gateway closed the connection"));
    socket.onmessage = ({ data }) => {
      const { op, t, d } = JSON.parse(data);
      if (op === 10) {
        const properties = { os: "", browser: "fanfare web", device: "" };
        socket.send(JSON.stringify({ op: 2, d: { token, intents: GUILDS | MESSAGES | CONTENT, properties } }));
      } else if (t === "READY") ready({ came, close: () => socket.close(1000) });
      else if (t === "MESSAGE_CREATE") {
        const at = now();
        seen.set(d.id, at);
        waiting.get(d.id)?.(at);
      }
    };
  });
}
