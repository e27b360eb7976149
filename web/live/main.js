/** The live view: what the system does, once a second. */
import { element } from "../dom.js";
import { offers } from "../login.js";
import { takeFromAddress } from "../secrets.js";
import { Controls } from "./controls.js";
import { Faults } from "./faults.js";
import { Follow } from "./follow.js";
import { Latency } from "./latency.js";
import { Letters } from "./letters.js";
import { Load } from "./load.js";
import { Stream } from "./stream.js";
import { amount, Table } from "./tables.js";
import { Way } from "./way.js";

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
const KEPT = "fanfare.admin";

/** @param {string} [why] */
function ask(why = "") {
  const token = element("input", { id: "token", type: "text", class: "secret", autocomplete: "off", required: true, spellcheck: false });
  const form = element(
    "form",
    {
      class: "login",
      "aria-label": "Log in",
      on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); show(token.value.trim()); } },
    },
    element("h2", {}, "Live view"),
    element("p", {}, "The key of operators is ", element("code", {}, "admin_key"), " in run.json, or FANFARE_ADMIN_KEY."),
    element("label", { htmlFor: "token" }, "Token"),
    element("div", { class: "line" }, token, element("button", { type: "submit" }, "Log in")),
    element("p", { class: "problem", role: "alert" }, why),
  );
  root.replaceChildren(element("main", { class: "landing" }, element("h1", {}, "Fanfare"), form, element("p", {}, element("a", { href: "/" }, "To the chat"))));
}

/** @param {string} key */
function show(key) {
  const state = element("p", { role: "status" }, "Connecting…");
  const way = new Way();
  const controls = new Controls(key);
  const load = new Load(key);
  const latency = new Latency();
  const faults = new Faults();
  const letters = new Letters(key);
  const follow = new Follow(key);
  const partitions = new Table(
    "Partitions",
    [
      { name: "Partition", text: (row) => `${row.topic}/${row.number}`, left: true },
      { name: "Group", text: (row) => row.group, left: true },
      { name: "Owner", text: (row) => row.owner || "nobody", look: (row) => (row.owner ? "" : "bad"), left: true },
      { name: "Lag", text: (row) => amount(row.lag), look: (row) => (row.lag > 10 + 2 * row.done ? "late" : "") },
      { name: "Coming/s", text: (row) => amount(row.incoming) },
      { name: "Done/s", text: (row) => amount(row.done) },
    ],
    (row) => row.owner,
  );
  const processes = new Table("Processes", [
    { name: "Process", text: (_, name) => name, left: true },
    { name: "State", text: (row) => row.state, left: true },
    { name: "CPU", text: (row) => amount(row.cpu, "%") },
    { name: "Memory", text: (row) => amount(row.memory, "MB") },
    { name: "Sessions", text: (row) => (row.role === "gateway" ? amount(row.sessions) : "") },
    { name: "Away", text: (row) => (row.role === "gateway" ? amount(row.away) : "") },
    { name: "Accepted/s", text: (row) => (row.role === "gateway" ? amount(row.accepted) : "") },
    { name: "Delivered/s", text: (row) => (row.role === "gateway" ? amount(row.delivered) : "") },
    { name: "Bytes/s", text: (row) => (row.role === "gateway" ? amount(row.written, "B") : "") },
    { name: "p50", text: (row) => (row.role === "gateway" ? amount(row.p50, "ms") : "") },
    { name: "p99", text: (row) => (row.role === "gateway" ? amount(row.p99, "ms") : "") },
    { name: "Loop lag", text: (row) => amount(row.loop, "ms"), look: (row) => (row.loop > 500 ? "bad" : "") },
    { name: "Held", text: (row) => (row.held ? amount(row.held) : ""), look: (row) => (row.held ? "bad" : "") },
  ]);
  const stores = new Table("Stores", [
    { name: "Store", text: (_, name) => name, left: true },
    { name: "Now", text: (row, name) => facts(name, row), left: true },
  ]);
  const out = element("button", { type: "button", on: { click: () => { sessionStorage.removeItem(KEPT); stream.stopped = true; ask(); } } }, "Log out");
  root.replaceChildren(
    element(
      "main",
      { class: "live" },
      element("header", {}, element("h1", {}, "Fanfare live"), element("a", { href: "/" }, "To the chat"), state, out),
      way.node, follow.node, controls.node, load.node, partitions.node, processes.node, stores.node, latency.node, faults.node, letters.node,
    ),
  );
  const stream = new Stream(key);
  const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ handler) =>
    stream.addEventListener(name, (event) => handler(/** @type {CustomEvent} */ (event).detail));
  on("state", (text) => { state.textContent = text; });
  on("refused", (text) => {
    if (text.startsWith("401")) {
      sessionStorage.removeItem(KEPT);
      ask("This key is not valid.");
    } else state.textContent = text;
  });
  on("figures", (/** @type {import("./stream.js").Tables} */ tables) => {
    sessionStorage.setItem(KEPT, key);
    const problems = Object.entries(tables.system?.problems ?? {});
    const text = problems.length ? problems.map(([name, why]) => `${name}: ${why}`).join("; ") : "Live";
    if (state.textContent !== text) state.textContent = text;
    way.draw(tables);
    latency.draw(tables);
    faults.draw(tables);
    controls.draw(tables);
    partitions.draw(tables.partitions ?? {}, ([, a], [, b]) => compare(a.group, b.group) || compare(a.topic, b.topic) || a.number - b.number);
    processes.draw(tables.processes ?? {}, ([a], [b]) => compare(a, b));
    stores.draw(tables.stores ?? {}, ([a], [b]) => compare(a, b));
  });
  stream.run();
  letters.run(() => stream.stopped);
}

/** @param {string} a @param {string} b */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** @param {string} name @param {any} row @returns {string} */
function facts(name, row) {
  switch (name) {
    case "kafka":
      return `${row.brokers} brokers, ${row.partitions} partitions, ${row.behind} not in sync, ${row.no_leader} without leader, ${amount(row.records_per_s)} records/s`;
    case "redis":
      return `${amount(row.memory_bytes, "B")}, ${row.clients} clients, ${amount(row.commands_per_s)} commands/s`;
    default:
      return `${amount(row.stored_bytes, "B")}, ${row.connections} connections, ${amount(row.commits_per_s)} commits/s, ${amount(row.rows_per_s)} rows/s`;
  }
}

const key = takeFromAddress("token") || sessionStorage.getItem(KEPT);
if (key) show(key);
else offers().then(({ admin_key: offered }) => (offered ? show(offered) : ask()));
