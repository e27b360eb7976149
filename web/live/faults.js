/** The last faults: what stopped working, and what works again, as long as this page has been open. */
import { element } from "../dom.js";

const MOST = 20;

export class Faults {
  constructor() {
    this.list = element("ol", { class: "faults", role: "list" }, element("li", {}, "None since this page was opened."));
    this.node = element("section", { "aria-label": "Last faults" }, element("h2", {}, "Last faults"), this.list);
    /** @type {Map<string, string> | null} what was wrong in the figures before, by what it was wrong with */
    this.before = null;
    this.none = true;
  }

  /** @param {import("./stream.js").Tables} tables */
  draw(tables) {
    const now = wrong(tables);
    const was = this.before;
    this.before = now;
    if (!was) return;
    for (const [what, why] of now) if (was.get(what) !== why) this.add(`${what}: ${why}`);
    for (const what of was.keys()) if (!now.has(what)) this.add(`${what} works again`);
  }

  /** @param {string} text */
  add(text) {
    if (this.none) this.list.replaceChildren();
    this.none = false;
    this.list.prepend(element("li", {}, element("time", {}, new Date().toLocaleTimeString()), ` ${text}`));
    while (this.list.children.length > MOST) this.list.lastElementChild?.remove();
  }
}

/** @param {import("./stream.js").Tables} tables @returns {Map<string, string>} */
export function wrong(tables) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const [name, row] of Object.entries(tables.processes ?? {})) {
    if (!row.ready) found.set(name, row.state);
    else if (row.held) found.set(name, `${row.held} partitions are held`);
  }
  for (const [name, why] of Object.entries(tables.system?.problems ?? {})) found.set(name, String(why));
  return found;
}
