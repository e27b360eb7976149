/** The way of an event as a row of stations, with what is on it now. */
import { element } from "../dom.js";
import { amount } from "./tables.js";

const STATIONS = [
  ["gateways in", "accepted a second"],
  ["Kafka", "waiting for the fan-out"],
  ["fan-out", "records a second"],
  ["Kafka deliveries", "waiting for the notifier"],
  ["notifier", "records a second"],
  ["inboxes", "Redis commands a second"],
  ["sockets", "events a second"],
];

export class Way {
  constructor() {
    this.figures = STATIONS.map(() => element("p", { class: "figure" }, "–"));
    this.details = STATIONS.map(([, text]) => element("p", { class: "small" }, text));
    this.stations = STATIONS.map(([name], at) =>
      element("li", { class: "station" }, element("h3", {}, name), this.figures[at], this.details[at]),
    );
    this.node = element(
      "section",
      { "aria-label": "The way of an event" },
      element("h2", {}, "The way of an event"),
      element("ol", { class: "way", role: "list" }, ...this.stations),
    );
  }

  /** @param {import("./stream.js").Tables} tables */
  draw(tables) {
    const processes = Object.values(tables.processes ?? {});
    const gateways = processes.filter((one) => one.role === "gateway");
    const sum = (/** @type {any[]} */ rows, /** @type {string} */ name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);
    const { fanout, notifier } = tables.groups ?? {};
    const delivery = tables.system?.delivery ?? {};
    const shown = [
      [amount(sum(gateways, "accepted")), `accepted a second, ${amount(sum(gateways, "sessions"))} sessions`],
      [amount(fanout?.lag), "waiting for the fan-out"],
      [amount(fanout?.done), `records a second, ${fanout?.members ?? 0} workers`],
      [amount(notifier?.lag), "waiting for the notifier"],
      [amount(notifier?.done), `records a second, ${notifier?.members ?? 0} workers`],
      [amount(tables.stores?.redis?.commands_per_s), "Redis commands a second"],
      [amount(delivery.delivered), `events a second; half within ${amount(delivery.p50, "ms")}, 99 % within ${amount(delivery.p99, "ms")}`],
    ];
    shown.forEach(([figure, detail], at) => {
      if (this.figures[at].textContent !== figure) this.figures[at].textContent = figure;
      if (this.details[at].textContent !== detail) this.details[at].textContent = detail;
      this.stations[at].classList.toggle("lit", at !== 1 && at !== 3 && at !== 5 && Number.parseFloat(figure) > 0);
    });
  }
}
