/** One message as it is shown: an article. */
import { components } from "./components.js";
import { element } from "./dom.js";
import { link, parse, render } from "./markdown.js";
import { emojiKey, madeAt } from "./state.js";

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
// An SVG picture can hold a program: it is a file to fetch.
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
// What a browser decodes takes four bytes a pixel, however small the file is.
const MOST_PIXELS = 50_000_000;
const REPLY = 19;
const EPHEMERAL = 1 << 6;
const THINKING = 1 << 7;
const EVENTS = new Map([
  [1, "added somebody"],
  [2, "removed somebody"],
  [6, "pinned a message"],
  [7, "joined"],
  [18, "began a thread"],
]);
const DONE = new Map([
  ["waiting", "Waiting to be sent"],
  ["sent", "Being sent"],
  ["accepted", "Accepted"],
  ["unknown", "It is not known whether it was sent: being sent again"],
  ["refused", "Not sent"],
  ["lost", "It is not known whether it was sent"],
]);

/**
 * @typedef {object} Doing
 * @property {(message: any) => void} reply
 * @property {(message: any) => void} edit
 * @property {(message: any) => void} remove
 * @property {(message: any, emoji: any, on: boolean) => void} react
 * @property {(message: any, component: any, values?: string[]) => void} press
 * @property {(id: string) => void} jump
 * @property {(entry: import("./outbox.js").Entry) => void} retry
 * @property {(entry: import("./outbox.js").Entry) => void} discard
 */

/**
 * @param {any} message
 * @param {import("./state.js").State} state
 * @param {Doing} doing
 * @param {boolean} first whether nobody else of the same has written just before
 * @param {boolean} fresh whether it is the first one that was not read yet
 * @returns {HTMLElement}
 */
export function article(message, state, doing, first, fresh) {
  const author = message.member?.nick || state.name(message.author.id, message.channel_id) || message.author.username;
  const event = EVENTS.get(message.type);
  const mine = message.author.id === state.me.id;
  return element(
    "article",
    {
      class: `message${first ? " first" : ""}${state.mentions(message) && !mine ? " forme" : ""}${fresh ? " fresh" : ""}`,
      tabIndex: -1,
      data: { id: message.id },
    },
    fresh && element("div", { class: "divider" }, "New"),
    message.type === REPLY && replied(message, state, doing),
    first && heading(author, message),
    event
      ? element("p", { class: "content event" }, `${author} ${event}`)
      : content(message, state, message.edited_timestamp),
    ...(message.embeds ?? []).map(embed),
    ...(message.attachments ?? []).map(attachment),
    components(message, namesOf(message, state), doing.press),
    Boolean(message.flags & THINKING) && element("p", { class: "small" }, "Thinking…"),
    Boolean(message.flags & EPHEMERAL) && element("p", { class: "small" }, "Only you can see this"),
    reactions(message, doing),
    tools(message, state, doing, mine, author),
  );
}

/**
 * @param {import("./outbox.js").Entry} entry
 * @param {import("./state.js").State} state
 * @param {Doing} doing
 * @returns {HTMLElement}
 */
export function pending(entry, state, doing) {
  const bad = entry.state === "refused" || entry.state === "lost";
  const said = DONE.get(entry.state) + (entry.why ? `: ${entry.why}` : "");
  return element(
    "article",
    { class: `message first pending ${entry.state}`, tabIndex: -1, data: { nonce: entry.nonce } },
    element("header", {}, element("bdi", { class: "author" }, state.name(state.me.id, entry.channel_id))),
    content({ content: entry.body.content, guild_id: state.channels.get(entry.channel_id)?.guild_id }, state, null),
    element("p", { class: "outcome", role: bad ? "alert" : null }, said),
    bad &&
      element(
        "div",
        { class: "actions" },
        element("button", { type: "button", on: { click: () => doing.retry(entry) } }, "Retry"),
        element("button", { type: "button", on: { click: () => doing.discard(entry) } }, "Discard"),
      ),
  );
}

/** @param {any} message @param {import("./state.js").State} state @param {string | null} edited */
function content(message, state, edited) {
  const text = message.content ?? "";
  if (!text) return null;
  return element(
    "div",
    { class: "content", dir: "auto" },
    ...render(parse(text), namesOf(message, state)),
    edited && element("span", { class: "edited", title: DAY.format(new Date(edited)) }, " (edited)"),
  );
}

/** @param {any} message @param {import("./state.js").State} state */
function namesOf(message, state) {
  return {
    me: state.me.id,
    user: (/** @type {string} */ id) => state.name(id, message.channel_id),
    role: (/** @type {string} */ id) => {
      const roles = state.guilds.get(message.guild_id)?.roles ?? [];
      return roles.find((/** @type {any} */ one) => one.id === id)?.name ?? "unknown role";
    },
    channel: (/** @type {string} */ id) => state.channels.get(id)?.name ?? "unknown channel",
  };
}

/** @param {string} author @param {any} message */
function heading(author, message) {
  const at = new Date(message.timestamp ?? madeAt(message.id));
  return element(
    "header",
    {},
    element("bdi", { class: "author", title: message.author.username }, author),
    message.author.bot && element("span", { class: "badge bot" }, "bot"),
    element("time", { dateTime: at.toISOString(), title: DAY.format(at) }, today(at) ? CLOCK.format(at) : DAY.format(at)),
  );
}

/** @param {Date} at */
function today(at) {
  return at.toDateString() === new Date().toDateString();
}

/** @param {any} message @param {import("./state.js").State} state @param {Doing} doing */
function replied(message, state, doing) {
  const other = message.referenced_message;
  if (!other) return element("p", { class: "replied" }, "Reply to a message that is gone");
  const text = (other.content ?? "").slice(0, 120) || "a message without text";
  return element(
    "button",
    { class: "replied", type: "button", on: { click: () => doing.jump(other.id) } },
    "Reply to ",
    element("bdi", { class: "author" }, state.name(other.author.id, message.channel_id)),
    ": ",
    element("bdi", {}, text),
  );
}

/** @param {any} found */
function embed(found) {
  const colour = Number.isInteger(found.color) ? `#${found.color.toString(16).padStart(6, "0")}` : "";
  const box = element(
    "section",
    { class: "embed", dir: "auto", "aria-label": "Embed" },
    found.author?.name && element("p", { class: "small" }, found.author.url ? link(found.author.url, found.author.name) : found.author.name),
    found.title && element("p", { class: "title" }, found.url ? link(found.url, found.title) : found.title),
    found.description && element("div", { class: "content" }, ...render(parse(found.description), NO_NAMES)),
    ...(found.fields ?? []).map((/** @type {any} */ field) =>
      element("p", {}, element("strong", {}, field.name), element("br"), ...render(parse(field.value), NO_NAMES)),
    ),
    // A picture of somebody else's server would tell that server who reads this.
    (found.image?.url || found.thumbnail?.url) && element("p", {}, link(found.image?.url || found.thumbnail.url, "Picture")),
    found.footer?.text && element("p", { class: "small" }, found.footer.text),
  );
  if (colour) box.style.borderInlineStartColor = colour;
  return box;
}

const NO_NAMES = {
  me: "",
  user: () => "somebody",
  role: () => "unknown role",
  channel: () => "unknown channel",
};

/** @param {any} file */
function attachment(file) {
  const type = (file.content_type ?? "").split(";")[0];
  const size = file.size > 1e6 ? `${(file.size / 1e6).toFixed(1)} MB` : `${Math.ceil((file.size ?? 0) / 1000)} kB`;
  const ours = own(file.url);
  const named = element("p", { class: "file" }, link(file.url, file.filename), ` ${size}`);
  const pixels = (file.width ?? Infinity) * (file.height ?? Infinity);
  if (!ours || !PICTURES.has(type) || pixels > MOST_PIXELS) return named;
  const picture = element("img", { class: "picture", src: ours, alt: file.description || file.filename, loading: "lazy", decoding: "async" });
  // Its place is kept until it has come.
  picture.width = Math.min(400, file.width);
  picture.height = Math.min(300, Math.round((file.height * picture.width) / file.width));
  return element("figure", {}, picture, element("figcaption", {}, named));
}

/** @param {string} url @returns {string} the address if it is of this server, else '' */
function own(url) {
  try {
    const parsed = new URL(url, location.href);
    return parsed.origin === location.origin ? parsed.href : "";
  } catch {
    return "";
  }
}

/** @param {any} message @param {Doing} doing */
function reactions(message, doing) {
  const those = message.reactions ?? [];
  if (!those.length) return null;
  return element(
    "div",
    { class: "reactions" },
    ...those.map((/** @type {any} */ one) =>
      element(
        "button",
        {
          type: "button",
          class: "reaction",
          "aria-pressed": String(Boolean(one.me)),
          "aria-label": `${one.emoji.name}, ${one.count}`,
          data: { emoji: emojiKey(one.emoji) },
          on: { click: () => doing.react(message, one.emoji, !one.me) },
        },
        one.emoji.id ? `:${one.emoji.name}:` : one.emoji.name,
        ` ${one.count}`,
      ),
    ),
  );
}

/** @param {any} message @param {import("./state.js").State} state @param {Doing} doing @param {boolean} mine @param {string} author */
function tools(message, state, doing, mine, author) {
  const button = (/** @type {string} */ name, /** @type {string} */ sign, /** @type {() => void} */ click) =>
    element("button", { type: "button", title: name, "aria-label": name, on: { click } }, sign);
  return element(
    "div",
    { class: "tools", role: "group", "aria-label": `Message of ${author}` },
    button("React with thumbs up", "👍", () => doing.react(message, { id: null, name: "👍" }, true)),
    button("Reply", "↩", () => doing.reply(message)),
    mine && button("Edit", "✎", () => doing.edit(message)),
    (mine || state.guilds.get(state.channels.get(message.channel_id)?.guild_id)?.owner_id === state.me.id) &&
      button("Delete", "🗑", () => doing.remove(message)),
  );
}
