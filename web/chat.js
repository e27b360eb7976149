/** The chat: the parts of the page put together around one session. */
import { Composer } from "./composer.js";
import { announce, element } from "./dom.js";
import { Gateway } from "./gateway.js";
import { History } from "./history.js";
import { Interactions } from "./interactions.js";
import { VirtualLog } from "./log.js";
import { drawMembers } from "./members.js";
import { article, pending } from "./message.js";
import { Outbox } from "./outbox.js";
import { Rest } from "./rest.js";
import { Search } from "./search.js";
import { drawSidebar } from "./sidebar.js";
import { emojiKey, later, madeAt, State } from "./state.js";

const TOGETHER_MS = 5 * 60_000;
const CONNECTION = new Map([
  ["connecting", "Connecting…"],
  ["ready", "Connected"],
  ["waiting", "Connection lost: trying again"],
  ["offline", "Offline: messages are kept, and sent later"],
  ["ended", "Not connected: load this page again"],
]);

/**
 * @param {HTMLElement} root
 * @param {string} token
 * @param {(why: string) => void} leave
 */
export async function startChat(root, token, leave) {
  const rest = new Rest(token);
  const chat = new Chat(root, rest, leave);
  for (let tries = 0; ; tries += 1) {
    try {
      const { url } = await rest.ask("GET", "/gateway");
      chat.connect(token, url);
      return;
    } catch {
      await new Promise((done) => setTimeout(done, Math.min(5000, 500 * 2 ** tries)));
    }
  }
}

class Chat {
  /** @param {HTMLElement} root @param {Rest} rest @param {(why: string) => void} leave */
  constructor(root, rest, leave) {
    this.rest = rest;
    this.leave = leave;
    this.state = new State();
    /** @type {Gateway | null} */
    this.gateway = null;
    this.outbox = new Outbox((message) => this.gateway?.send(message) ?? false);
    this.history = new History(this.state, rest);
    this.search = new Search(this.state, rest, (message) => this.find(message));
    this.interactions = new Interactions(rest, (text) => this.tellNotice(text));
    /** @type {Set<string>} parts of the page that are to be drawn again */
    this.stale = new Set();
    /** The message up to which the open channel had been read when it was opened. */
    this.readUpTo = "";
    this.composer = new Composer({
      send: (text, reply, files) => this.send(text, reply, files),
      edit: (message, text) => this.rest.ask("PATCH", `/channels/${message.channel_id}/messages/${message.id}`, { content: text }),
      typing: () => { this.rest.ask("POST", `/channels/${this.state.open}/typing`).catch(() => {}); },
      people: () => this.people(),
      commands: () => this.interactions.commands(this.state.channels.get(this.state.open)?.guild_id),
      run: (text) => this.interactions.run(this.state.open, this.state.channels.get(this.state.open)?.guild_id, text),
      last: () => this.state.talk(this.state.open).messages.findLast((one) => one.author.id === this.state.me?.id),
    });
    this.nav = element("nav", { id: "channels", "aria-label": "Channels" });
    this.title = element("h1", {}, "Fanfare");
    this.topic = element("p", { class: "topic", dir: "auto" });
    this.connection = element("p", { class: "connection", role: "status" }, "Connecting…");
    this.box = element("div", { class: "log", role: "log", tabIndex: 0, "aria-label": "Messages" });
    this.notice = element("div", { class: "notice", role: "status", hidden: true });
    this.jumps = element("div", { class: "jumps" });
    this.typing = element("p", { class: "typing", "aria-live": "polite" });
    this.aside = element("aside", { "aria-label": "Members" });
    this.self = element("bdi", {});
    this.menuButton = element("button", { type: "button", class: "menu", "aria-controls": "channels", "aria-expanded": "false" }, "Channels");
    this.build(root);
    this.log = new VirtualLog(this.box, () => this.older(), () => this.scrolled());
    /** @type {import("./message.js").Doing} */
    this.doing = {
      reply: (message) => this.composer.reply(message, this.state.name(message.author.id, message.channel_id)),
      edit: (message) => this.composer.edit(message),
      remove: (message) => this.act("DELETE", `/channels/${message.channel_id}/messages/${message.id}`, "Not deleted"),
      react: (message, emoji, on) =>
        this.act(on ? "PUT" : "DELETE", `/channels/${message.channel_id}/messages/${message.id}/reactions/${encodeURIComponent(emojiKey(emoji))}/@me`, "Not done"),
      press: (message, component, values) => this.interactions.press(message, component, values),
      jump: (id) => this.log.jump(id),
      retry: (entry) => this.outbox.retry(entry),
      discard: (entry) => this.outbox.discard(entry),
    };
    this.listen();
  }

  /** @param {HTMLElement} root */
  build(root) {
    this.menuButton.addEventListener("click", () => this.menu(!document.body.classList.contains("open")));
    const out = element("button", { type: "button", on: { click: () => { this.gateway?.close(); this.stop(); this.leave(""); } } }, "Log out");
    this.page = element(
      "div",
      { class: "chat" },
      element("div", { class: "side" }, element("header", { class: "self" }, this.self, out), this.nav),
      element(
        "main",
        {},
        element("header", { class: "top" }, this.menuButton, element("div", { class: "about" }, this.title, this.topic), this.search.form, this.connection),
        this.notice, this.search.found, this.box, this.jumps, this.typing, this.composer.node,
      ),
      this.aside,
    );
    root.replaceChildren(this.page);
  }

  /** @param {boolean} open */
  menu(open) {
    document.body.classList.toggle("open", open);
    this.menuButton.setAttribute("aria-expanded", String(open));
  }

  listen() {
    const { state } = this;
    for (const name of ["guilds", "unread"]) state.addEventListener(name, () => this.draw("side"));
    state.addEventListener("guilds", () => this.route());
    state.addEventListener("people", () => { this.draw("people"); this.draw("log"); });
    state.addEventListener("typing", () => this.draw("typing"));
    state.addEventListener("messages", (event) => /** @type {CustomEvent} */ (event).detail === state.open && this.draw("log"));
    state.addEventListener("created", (event) => this.created(/** @type {CustomEvent} */ (event).detail));
    this.outbox.addEventListener("change", () => this.draw("log"));
    this.onHash = () => this.route();
    addEventListener("hashchange", this.onHash);
    this.onSeen = () => this.scrolled();
    document.addEventListener("visibilitychange", this.onSeen);
    this.onKey = (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && this.menu(false);
    addEventListener("keydown", this.onKey);
  }

  stop() {
    if (this.onHash) removeEventListener("hashchange", this.onHash);
    if (this.onSeen) document.removeEventListener("visibilitychange", this.onSeen);
    if (this.onKey) removeEventListener("keydown", this.onKey);
    document.title = "Fanfare";
  }

  /** @param {string} token @param {string} url */
  connect(token, url) {
    const gateway = (this.gateway = new Gateway(token, url));
    const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ handler) =>
      gateway.addEventListener(name, (event) => handler(/** @type {CustomEvent} */ (event).detail));
    on("dispatch", ({ t, d }) => {
      if (t === "INTERACTION_MODAL_CREATE") this.interactions.open(d);
      else this.state.apply(t, d);
    });
    on("sent", (said) => this.answered(said));
    on("whole", () => this.outbox.connected());
    on("missed", () => this.missed());
    on("refused", () => { this.stop(); this.leave("This token is not valid any more."); });
    on("state", (connection) => {
      if (connection !== "ready") this.outbox.disconnected();
      if (connection !== "connecting" || this.connection.dataset.state === undefined) this.tellConnection(connection);
    });
    gateway.connect();
  }

  /** @param {string} connection */
  tellConnection(connection) {
    this.connection.dataset.state = connection;
    this.connection.textContent = CONNECTION.get(connection) ?? "";
  }

  /** The session was lost, and with it events: what is known is asked for anew. */
  missed() {
    this.state.forgetTalks();
    const again = this.history.newest(this.state.open);
    this.tellNotice("The connection was away for too long to resume: messages that came meanwhile are being loaded.");
    again.then(
      () => this.tellNotice("The connection was away for too long to resume. The messages that came meanwhile were loaded.", true),
      () => this.tellNotice("Messages were missed, and could not be loaded."),
    );
    this.draw("log");
  }

  /** @param {string} text @param {boolean} [done] */
  tellNotice(text, done = false) {
    this.notice.hidden = false;
    const close = element("button", { type: "button", on: { click: () => { this.notice.hidden = true; } } }, "Close");
    this.notice.replaceChildren(element("p", {}, text), done || text ? close : "");
  }

  /** @param {any} said */
  answered(said) {
    const entry = this.outbox.entries.get(said.nonce);
    this.outbox.answered(said);
    if (!entry || !said.id) return;
    // It may have been shown long ago: then this was its second way, and it is the same message.
    const known = this.state.talk(entry.channel_id).messages.some((one) => one.id === said.id);
    if (known) this.outbox.discard(entry);
    else setTimeout(() => this.fetchAccepted(entry), 8000);
  }

  /** An accepted message that does not come by the gateway came before this session began. @param {import("./outbox.js").Entry} entry */
  async fetchAccepted(entry) {
    if (!this.outbox.entries.has(entry.nonce)) return;
    try {
      const message = await this.rest.ask("GET", `/channels/${entry.channel_id}/messages/${entry.id}`);
      this.state.loaded(entry.channel_id, [message]);
      this.outbox.discard(entry);
    } catch {
      setTimeout(() => this.fetchAccepted(entry), 8000);
    }
  }

  /** @param {any} message */
  created(message) {
    const own = this.outbox.arrived(message);
    if (own || message.channel_id !== this.state.open) return;
    this.scrolled();
  }

  /** Show the channel of the address; without one, the first. */
  route() {
    const { state } = this;
    this.self.textContent = state.me ? state.me.global_name || state.me.username : "";
    const id = location.hash.replace(/^#\//, "");
    if (state.channels.has(id)) {
      if (state.open !== id) this.open(id);
      return;
    }
    const [guild] = [...state.guilds.values()].filter((one) => one.name !== undefined);
    const first = guild && state.tree(guild.id).flatMap(({ channels }) => channels)[0];
    if (first && state.open !== first.id && !state.channels.has(state.open)) {
      history.replaceState(null, "", `#/${first.id}`);
      this.open(first.id);
    }
  }

  /** @param {string} id */
  open(id) {
    const { state } = this;
    const channel = state.channels.get(id);
    const title = state.title(channel);
    const direct = !channel.guild_id;
    state.open = id;
    this.readUpTo = state.mark(id).count ? state.mark(id).read : "";
    const shown = `${direct ? "@" : "#"}${title}`;
    this.title.replaceChildren(element("bdi", {}, shown));
    this.topic.textContent = channel.topic ?? "";
    this.box.setAttribute("aria-label", `Messages in ${shown}`);
    document.title = `${shown} · Fanfare`;
    this.composer.open(id, title, direct);
    this.search.open(direct);
    this.menu(false);
    this.log.show([], true);
    this.history.newest(id).then(
      () => this.scrolled(),
      (error) => this.tellNotice(`The messages could not be loaded: ${error.message}`),
    );
    for (const part of ["side", "people", "log", "typing"]) this.draw(part);
    this.scrolled();
  }

  /** Show a message where it was said. @param {any} message */
  async find(message) {
    const { state } = this;
    if (!state.channels.has(message.channel_id)) {
      try {
        state.apply("CHANNEL_UPDATE", await this.rest.ask("GET", `/channels/${message.channel_id}`));
      } catch (error) {
        this.tellNotice(`Not shown: ${/** @type {Error} */ (error).message}`);
        return;
      }
    }
    if (state.open !== message.channel_id) {
      history.pushState(null, "", `#/${message.channel_id}`);
      this.open(message.channel_id);
    }
    try {
      if (!(await this.history.until(message.channel_id, message.id))) {
        this.tellNotice("That was said too long ago to be shown here.");
        return;
      }
    } catch (error) {
      this.tellNotice(`The messages could not be loaded: ${/** @type {Error} */ (error).message}`);
      return;
    }
    if (state.open !== message.channel_id) return;
    this.drawLog();
    this.log.jump(message.id);
    /** @type {HTMLElement | null} */ (this.box.querySelector(`[data-id="${CSS.escape(message.id)}"]`))?.focus({ preventScroll: true });
  }

  older() {
    this.history.older(this.state.open).then(() => {}, () => {});
  }

  /** What is on the screen was read. */
  scrolled() {
    const { messages } = this.state.talk(this.state.open);
    const last = messages[messages.length - 1];
    if (last && this.log.atEnd && document.visibilityState === "visible") this.state.read(this.state.open, last.id);
    this.draw("jumps");
  }

  /** @param {string} text @param {any} reply @param {File[]} files */
  send(text, reply, files) {
    const { open } = this.state;
    /** @type {Record<string, any>} */
    const body = { content: text };
    if (reply) body.message_reference = { message_id: reply.id, channel_id: open, fail_if_not_exists: false };
    this.log.end();
    if (files.length) this.upload(open, body, files);
    else this.outbox.add(open, body);
  }

  /** @param {string} channel @param {Record<string, any>} body @param {File[]} files */
  async upload(channel, body, files) {
    const form = new FormData();
    form.append("payload_json", JSON.stringify({ ...body, attachments: files.map((file, id) => ({ id, filename: file.name })) }));
    files.forEach((file, at) => form.append(`files[${at}]`, file, file.name));
    announce("Uploading");
    try {
      await this.rest.ask("POST", `/channels/${channel}/messages`, form);
    } catch (error) {
      this.composer.files = files;
      this.composer.write(body.content);
      this.composer.explain();
      this.composer.problem.textContent = `Not sent: ${/** @type {Error} */ (error).message}`;
    }
  }

  /** @param {string} method @param {string} path @param {string} failed */
  async act(method, path, failed) {
    try {
      await this.rest.ask(method, path);
    } catch (error) {
      this.tellNotice(`${failed}: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** @param {string} user */
  async talk(user) {
    try {
      const channel = await this.rest.ask("POST", "/users/@me/channels", { recipient_id: user });
      this.state.apply("CHANNEL_CREATE", channel);
      location.hash = `#/${channel.id}`;
    } catch (error) {
      this.tellNotice(`Not opened: ${/** @type {Error} */ (error).message}`);
    }
  }

  people() {
    const { state } = this;
    const channel = state.channels.get(state.open);
    const users = channel?.guild_id
      ? [.../** @type {any[]} */ ([...(state.guilds.get(channel.guild_id)?.members.values() ?? [])])].map((member) => member.user)
      : channel?.recipients ?? [];
    return users.map((/** @type {any} */ user) => ({ id: user.id, name: state.name(user.id), username: user.username }));
  }

  /** @param {string} part */
  draw(part) {
    if (!this.stale.size) setTimeout(() => this.drawStale(), 16);
    this.stale.add(part);
  }

  drawStale() {
    const stale = this.stale;
    this.stale = new Set();
    if (!this.state.me) return;
    if (stale.has("side")) drawSidebar(this.nav, this.state);
    if (stale.has("people")) drawMembers(this.aside, this.state, (user) => this.talk(user));
    if (stale.has("log")) this.drawLog();
    if (stale.has("typing")) {
      const names = this.state.typers(this.state.open);
      this.typing.textContent = names.length === 0 ? "" : names.length > 3 ? "Several people are typing…" : `${names.join(", ")} ${names.length === 1 ? "is" : "are"} typing…`;
    }
    if (stale.has("jumps") || stale.has("log")) this.drawJumps();
  }

  drawLog() {
    const { state, outbox, doing } = this;
    const talk = state.talk(state.open);
    if (!talk.loaded && !talk.messages.length) return;
    /** @type {any} */
    let before = null;
    let fresh = Boolean(this.readUpTo);
    /** @type {import("./log.js").Row[]} */
    const rows = talk.messages.map((message) => {
      const first =
        !before || before.author.id !== message.author.id || message.type !== 0 || madeAt(message.id) - madeAt(before.id) > TOGETHER_MS;
      const isFresh = fresh && later(message.id, this.readUpTo);
      if (isFresh) fresh = false;
      before = message;
      const version = versionOf(message, first, isFresh, state.name(message.author.id, message.channel_id));
      return { key: message.id, version, make: () => article(message, state, doing, first || isFresh, isFresh) };
    });
    const known = new Set(talk.messages.map((message) => message.id));
    for (const entry of outbox.of(state.open)) {
      if (entry.id && known.has(entry.id)) continue;
      rows.push({ key: entry.nonce, version: `${entry.state} ${entry.why}`, make: () => pending(entry, state, doing) });
    }
    this.log.show(rows);
  }

  drawJumps() {
    const { count } = this.state.mark(this.state.open);
    const fresh = this.readUpTo ? this.state.talk(this.state.open).messages.find((one) => later(one.id, this.readUpTo)) : null;
    this.jumps.replaceChildren(
      fresh
        ? element("button", { type: "button", on: { click: () => { this.log.jump(fresh.id); this.readUpTo = ""; this.drawJumps(); } } }, "Jump to first unread")
        : "",
      this.log.atEnd ? "" : element("button", { type: "button", on: { click: () => this.log.end() } }, count ? `${count} new below` : "To the newest"),
    );
  }
}

/** @type {WeakMap<any, Map<string, object>>} */
const VERSIONS = new WeakMap();

/**
 * The same object for a message that looks the same. A message that changes is another object.
 * @param {any} message @param {boolean} first @param {boolean} fresh @param {string} name
 */
function versionOf(message, first, fresh, name) {
  let versions = VERSIONS.get(message);
  if (!versions) VERSIONS.set(message, (versions = new Map()));
  const key = `${first} ${fresh} ${name}`;
  let version = versions.get(key);
  if (!version) versions.set(key, (version = {}));
  return version;
}
