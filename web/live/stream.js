/** The stream of figures: server-sent events over fetch, which can carry the key; read again after each loss. */

const AGAIN_MS = 1500;

/** @typedef {Record<string, Record<string, any>>} Tables */

export class Stream extends EventTarget {
  /** @param {string} key */
  constructor(key) {
    super();
    this.key = key;
    /** @type {Tables} */
    this.tables = {};
    this.stopped = false;
  }

  async run() {
    while (!this.stopped) {
      try {
        await this.once();
        this.tell("state", "The stream has ended: asking again");
      } catch (error) {
        if (error instanceof Refused) {
          this.tell("refused", error.message);
          if (error.status === 401) return;
        } else this.tell("state", "No connection: asking again");
      }
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }

  async once() {
    const answer = await fetch("/web/live", {
      headers: { Authorization: `Admin ${this.key}` },
      credentials: "omit",
      cache: "no-store",
    });
    if (!answer.ok || !answer.body) {
      const said = await answer.json().catch(() => null);
      throw new Refused(answer.status, said?.message ?? `the server answered with ${answer.status}`);
    }
    this.tables = {};
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const event = text.slice(0, end);
        text = text.slice(end + 2);
        if (event.startsWith("data: ")) this.take(JSON.parse(event.slice(6)));
      }
    }
  }

  /** @param {{set: Tables, gone: Record<string, string[]>}} delta */
  take({ set, gone }) {
    for (const [table, rows] of Object.entries(set)) this.tables[table] = { ...this.tables[table], ...rows };
    for (const [table, names] of Object.entries(gone)) for (const name of names) delete this.tables[table]?.[name];
    this.tell("figures", this.tables);
  }

  /** @param {string} name @param {any} detail */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

class Refused extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}
