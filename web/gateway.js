/**
 * One session of the gateway: hello, identify, heartbeats, and after each loss of the connection resume, on whatever
 * node answers. Events: `dispatch` ({t, d}), `sent` (d of op 129), `state`, `whole` (READY or RESUMED), `missed`
 * (the session could not be resumed, so that events were missed), `refused` (the token is wrong).
 */

const OP = { dispatch: 0, heartbeat: 1, identify: 2, resume: 6, reconnect: 7, invalid: 9, hello: 10, ack: 11 };
const SEND = 128;
const SENT = 129;
// Guilds, members, presences, messages, reactions, typing, the same of direct messages, and content.
export const INTENTS =
  1 | (1 << 1) | (1 << 8) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 15);
const LONGEST_WAIT_MS = 8000;
const OPENING_MS = 10_000;
const WRONG_TOKEN = 4004;
// After these only another client would help.
const HOPELESS = new Set([4010, 4011, 4012, 4013, 4014]);

/** @typedef {"connecting" | "ready" | "waiting" | "offline" | "ended"} Connection */

export class Gateway extends EventTarget {
  /**
   * @param {string} token
   * @param {string} url
   */
  constructor(token, url) {
    super();
    this.token = token;
    this.url = url;
    /** @type {Connection} */
    this.connection = "waiting";
    /** @type {WebSocket | null} */
    this.socket = null;
    this.sessionId = "";
    /** @type {number | null} */
    this.seq = null;
    this.tries = 0;
    this.acked = true;
    /** @type {number | undefined} */
    this.beat = undefined;
    /** @type {number | undefined} */
    this.again = undefined;
    this.heard = 0;
    this.interval = 41_250;
    this.hadSession = false;
    addEventListener("online", () => this.hurry());
    addEventListener("offline", () => this.lost("offline"));
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.awake());
  }

  /** Whether sends go out at once. */
  get ready() {
    return this.connection === "ready";
  }

  connect() {
    if (this.connection === "ended" || this.socket) return;
    clearTimeout(this.again);
    this.say("connecting");
    const socket = new WebSocket(`${this.url}?v=10&encoding=json`);
    this.socket = socket;
    const opening = setTimeout(() => this.drop(socket), OPENING_MS);
    socket.onmessage = (message) => {
      if (this.socket !== socket) return;
      clearTimeout(opening);
      this.heard = Date.now();
      this.take(JSON.parse(message.data));
    };
    socket.onclose = (event) => {
      clearTimeout(opening);
      if (this.socket === socket) this.closed(event.code);
    };
  }

  /** End it for good. */
  close() {
    this.say("ended");
    clearTimeout(this.again);
    clearInterval(this.beat);
    this.socket?.close(1000);
    this.socket = null;
  }

  /**
   * Publish a message.
   * @param {Record<string, any>} message the body of POST /channels/{id}/messages, with `channel_id` and `nonce`
   * @returns {boolean} whether it went out
   */
  send(message) {
    return this.ready && this.put(SEND, message);
  }

  /** @param {number} op @param {any} d @returns {boolean} */
  put(op, d) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify({ op, d }));
    return true;
  }

  /** @param {{op: number, t: string | null, s: number | null, d: any}} frame */
  take(frame) {
    switch (frame.op) {
      case OP.dispatch:
        if (frame.s !== null) this.seq = frame.s;
        this.dispatched(/** @type {string} */ (frame.t), frame.d);
        break;
      case OP.heartbeat:
        this.put(OP.heartbeat, this.seq);
        break;
      case OP.reconnect:
        this.lost("waiting");
        this.hurry();
        break;
      case OP.invalid:
        if (!frame.d) this.forget();
        this.lost("waiting");
        break;
      case OP.hello:
        this.hello(frame.d.heartbeat_interval);
        break;
      case OP.ack:
        this.acked = true;
        break;
      case SENT:
        this.tell("sent", frame.d);
        break;
    }
  }

  /** @param {number} interval */
  hello(interval) {
    this.interval = interval;
    this.acked = true;
    clearInterval(this.beat);
    this.beat = setInterval(() => this.heartbeat(), interval);
    if (this.sessionId) {
      this.put(OP.resume, { token: this.token, session_id: this.sessionId, seq: this.seq });
    } else {
      const properties = { os: "", browser: "fanfare web", device: "" };
      this.put(OP.identify, { token: this.token, intents: INTENTS, properties, large_threshold: 250 });
    }
  }

  heartbeat() {
    if (!this.acked) {
      // Half open: nothing has come for a whole interval.
      this.lost("waiting");
      this.hurry();
      return;
    }
    this.acked = false;
    this.put(OP.heartbeat, this.seq);
  }

  /** @param {string} t @param {any} d */
  dispatched(t, d) {
    if (t === "READY") {
      this.sessionId = d.session_id;
      // Any node can go on with the session.
      this.url = d.resume_gateway_url || this.url;
      this.tell("dispatch", { t, d });
      this.begun();
      if (this.hadSession) this.tell("missed", null);
      this.hadSession = true;
    } else if (t === "RESUMED") this.begun();
    else this.tell("dispatch", { t, d });
  }

  begun() {
    this.tries = 0;
    this.say("ready");
    this.tell("whole", null);
  }

  forget() {
    this.sessionId = "";
    this.seq = null;
  }

  /** @param {number} code */
  closed(code) {
    if (code === WRONG_TOKEN) {
      this.close();
      this.tell("refused", null);
      return;
    }
    if (HOPELESS.has(code)) {
      this.close();
      return;
    }
    this.lost(navigator.onLine ? "waiting" : "offline");
  }

  /** Whoever was asleep for longer than two heartbeats has no connection, whatever the browser thinks. */
  awake() {
    if (this.ready && Date.now() - this.heard > 2 * this.interval) this.lost("waiting");
    this.hurry();
  }

  /** @param {WebSocket} socket */
  drop(socket) {
    if (this.socket === socket) this.lost("waiting");
  }

  /** @param {"waiting" | "offline"} state */
  lost(state) {
    if (this.connection === "ended") return;
    const socket = this.socket;
    this.socket = null;
    clearInterval(this.beat);
    // 1000 would end the session; it is to be resumed.
    socket?.close(4900);
    this.say(state);
    clearTimeout(this.again);
    if (state === "offline") return;
    const wait = Math.min(LONGEST_WAIT_MS, 250 * 2 ** this.tries) * (0.5 + Math.random() / 2);
    this.tries += 1;
    this.again = setTimeout(() => this.connect(), this.tries === 1 ? 50 : wait);
  }

  hurry() {
    if (this.connection === "waiting" || this.connection === "offline") {
      this.tries = Math.min(this.tries, 1);
      this.connect();
    }
  }

  /** @param {Connection} state */
  say(state) {
    if (this.connection === state || this.connection === "ended") return;
    this.connection = state;
    this.tell("state", state);
  }

  /** @param {string} name @param {any} detail */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
