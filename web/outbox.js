/**
 * Messages on their way out. Each has a nonce of its own, and is sent again with it until its outcome is known: the
 * server makes one message of all that it gets with the same nonce. So it appears once, or is refused, but never twice.
 */

/** How long the server knows a nonce, less a margin for what is still on its way. */
const NONCE_MS = 4 * 60_000;
const RETRY_MS = 1500;
const UNANSWERED_MS = 12_000;
const MOST_UNANSWERED = 32;

/**
 * @typedef {object} Entry
 * @property {string} nonce
 * @property {string} channel_id
 * @property {Record<string, any>} body
 * @property {"waiting" | "sent" | "accepted" | "unknown" | "refused" | "lost"} state waiting: it goes out as soon as
 *   there is a connection; unknown: it may have arrived, and is sent again; lost: it may have arrived, too long ago to
 *   be sent again safely
 * @property {string} why
 * @property {string} id of the message, once it is accepted
 * @property {number} first when it went out first, ms; 0: never
 * @property {number} made
 * @property {number} due not to be sent before, ms
 * @property {number} asked when it went out last
 */

export class Outbox extends EventTarget {
  /**
   * @param {(message: Record<string, any>) => boolean} send whether it went out
   * @param {() => number} [now]
   */
  constructor(send, now = Date.now) {
    super();
    this.send = send;
    this.now = now;
    /** @type {Map<string, Entry>} */
    this.entries = new Map();
    setInterval(() => this.flush(), 500);
  }

  /**
   * @param {string} channel
   * @param {Record<string, any>} body
   * @returns {Entry}
   */
  add(channel, body) {
    const nonce = newNonce();
    /** @type {Entry} */
    const entry = {
      nonce, channel_id: channel, body, state: "waiting", why: "", id: "", first: 0, made: this.now(), due: 0, asked: 0,
    };
    this.entries.set(nonce, entry);
    this.changed(entry);
    this.flush();
    return entry;
  }

  /** Send what is due, oldest first. */
  flush() {
    const now = this.now();
    let unanswered = 0;
    for (const entry of this.entries.values()) {
      if (entry.state === "sent" && now - entry.asked > UNANSWERED_MS) this.become(entry, "unknown");
      if (entry.state === "sent") unanswered += 1;
      if (entry.state !== "waiting" && entry.state !== "unknown") continue;
      if (entry.first && now - entry.first > NONCE_MS) {
        this.become(entry, "lost", "It may have been sent: look for it before you send it again.");
        continue;
      }
      if (now < entry.due || unanswered >= MOST_UNANSWERED) continue;
      if (!this.send({ ...entry.body, channel_id: entry.channel_id, nonce: entry.nonce })) return;
      unanswered += 1;
      entry.first ||= now;
      entry.asked = now;
      if (entry.state === "waiting") this.become(entry, "sent");
      else entry.state = "sent";
    }
  }

  /** The connection is lost: nobody will answer what was sent over it. */
  disconnected() {
    for (const entry of this.entries.values()) if (entry.state === "sent") this.become(entry, "unknown");
  }

  /** There is a connection again. */
  connected() {
    for (const entry of this.entries.values()) entry.due = 0;
    this.flush();
  }

  /** @param {any} said the `d` of SENT */
  answered(said) {
    const entry = this.entries.get(said.nonce);
    if (!entry || entry.state === "accepted") return;
    if (said.id) {
      entry.id = said.id;
      this.become(entry, "accepted");
      return;
    }
    const { code, message, retry_after: after } = said.error;
    if (code === 503 || code === 504 || code === 429) {
      entry.due = this.now() + (after ? after * 1000 : RETRY_MS);
      // After 503 it was not sent and never will be; the nonce stays, so that it does not matter if that is wrong.
      this.become(entry, code === 504 ? "unknown" : "waiting", message);
    } else this.become(entry, "refused", reason(said.error));
  }

  /**
   * A message has arrived: is it one of ours?
   * @param {any} message
   * @returns {boolean}
   */
  arrived(message) {
    for (const entry of this.entries.values()) {
      if (entry.channel_id === message.channel_id && (entry.nonce === String(message.nonce) || entry.id === message.id)) {
        this.entries.delete(entry.nonce);
        this.changed(entry);
        return true;
      }
    }
    return false;
  }

  /** Send again what was refused or lost, as another message. @param {Entry} entry */
  retry(entry) {
    this.discard(entry);
    return this.add(entry.channel_id, entry.body);
  }

  /** @param {Entry} entry */
  discard(entry) {
    this.entries.delete(entry.nonce);
    this.changed(entry);
  }

  /** @param {string} channel @returns {Entry[]} */
  of(channel) {
    return [...this.entries.values()].filter((entry) => entry.channel_id === channel);
  }

  /** @param {Entry} entry @param {Entry["state"]} state @param {string} [why] */
  become(entry, state, why = "") {
    entry.state = state;
    entry.why = why;
    this.changed(entry);
  }

  /** @param {Entry} entry */
  changed(entry) {
    this.dispatchEvent(new CustomEvent("change", { detail: entry }));
  }
}

/** @returns {string} 24 characters; 25 are allowed */
function newNonce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {any} error @returns {string} */
function reason(error) {
  /** @type {string[]} */
  const wrong = [];
  const walk = (/** @type {any} */ part) => {
    for (const [name, value] of Object.entries(part ?? {})) {
      if (name === "_errors") wrong.push(.../** @type {any[]} */ (value).map((one) => one.message));
      else walk(value);
    }
  };
  walk(error.errors);
  return wrong.join(" ") || error.message;
}
