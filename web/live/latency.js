/** How long events took from the sender's gateway to sockets, as a histogram of the last seconds. */
import { element } from "../dom.js";
import { amount } from "./tables.js";

export class Latency {
  constructor() {
    this.body = element("tbody", {});
    /** @type {Map<string, {row: HTMLTableRowElement, meter: HTMLMeterElement, count: HTMLTableCellElement}>} */
    this.rows = new Map();
    const head = element("tr", {}, element("th", { scope: "col" }, "Within"), element("th", { scope: "col" }, "Part"), element("th", { scope: "col" }, "Events/s"));
    this.node = element(
      "section",
      { "aria-label": "Latency" },
      element("h2", {}, "Latency"),
      element("table", { class: "latency", "aria-label": "Latency" }, element("thead", {}, head), this.body),
    );
  }

  /** @param {import("./stream.js").Tables} tables */
  draw(tables) {
    const buckets = Object.entries(tables.latency ?? {}).sort(([, a], [, b]) => a.order - b.order);
    const all = buckets.reduce((sum, [, one]) => sum + one.per_s, 0);
    for (const [name, one] of buckets) {
      let known = this.rows.get(name);
      if (!known) {
        const meter = element("meter", { min: 0, max: 1, "aria-label": `Part of the events within ${name}` });
        const count = element("td", {});
        known = { row: element("tr", {}, element("th", { scope: "row" }, name), element("td", { class: "text" }, meter), count), meter, count };
        this.rows.set(name, known);
        this.body.append(known.row);
      }
      known.meter.value = all ? one.per_s / all : 0;
      const text = amount(one.per_s);
      if (known.count.textContent !== text) known.count.textContent = text;
    }
  }
}
