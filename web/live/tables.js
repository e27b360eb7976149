/** Tables whose rows are changed in place, so that nobody loses the row they are looking at or listening to. */
import { element } from "../dom.js";

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {(row: any, name: string) => string} text
 * @property {(row: any) => string} [look] a class
 * @property {boolean} [left]
 */

export class Table {
  /**
   * @param {string} label
   * @param {Column[]} columns the first one heads the row
   * @param {(row: any) => any} [watched] a change of it is shown for a moment
   */
  constructor(label, columns, watched) {
    this.columns = columns;
    this.watched = watched;
    /** @type {Map<string, {node: HTMLTableRowElement, row: any}>} */
    this.rows = new Map();
    this.body = element("tbody", {});
    this.node = element(
      "section",
      { "aria-label": label },
      element("h2", {}, label),
      element(
        "div",
        { class: "scroller", tabIndex: 0, role: "group", "aria-label": `Table of ${label.toLowerCase()}` },
        element(
          "table",
          { "aria-label": label },
          element("thead", {}, element("tr", {}, ...columns.map((column) => element("th", { scope: "col", class: column.left ? "text" : "" }, column.name)))),
          this.body,
        ),
      ),
    );
  }

  /** @param {Record<string, any>} rows @param {(a: [string, any], b: [string, any]) => number} order */
  draw(rows, order) {
    for (const [name, { node }] of this.rows) {
      if (name in rows) continue;
      node.remove();
      this.rows.delete(name);
    }
    /** @type {HTMLElement | null} */
    let last = null;
    for (const [name, row] of Object.entries(rows).sort(order)) {
      let known = this.rows.get(name);
      if (!known) {
        known = { node: this.make(), row: null };
        this.rows.set(name, known);
      }
      if (known.row !== row) {
        const moved = this.watched && known.row && this.watched(known.row) !== this.watched(row);
        this.fill(known.node, row, name);
        known.row = row;
        if (moved) {
          const { node } = known;
          node.classList.add("moved");
          setTimeout(() => node.classList.remove("moved"), 4000);
        }
      }
      /** @type {Element | null} */
      const place = last ? last.nextElementSibling : this.body.firstElementChild;
      if (place !== known.node) last ? last.after(known.node) : this.body.prepend(known.node);
      last = known.node;
    }
  }

  make() {
    return element(
      "tr",
      {},
      ...this.columns.map((_, at) => (at ? element("td", {}) : element("th", { scope: "row" }))),
    );
  }

  /** @param {HTMLTableRowElement} node @param {any} row @param {string} name */
  fill(node, row, name) {
    node.classList.toggle("bad", row.ready === false);
    this.columns.forEach((column, at) => {
      const cell = /** @type {HTMLElement} */ (node.children[at]);
      const text = column.text(row, name);
      if (cell.textContent !== text) cell.textContent = text;
      cell.className = `${column.left ? "text" : ""} ${column.look?.(row) ?? ""}`.trim();
    });
  }
}

/** @param {number | null | undefined} value @param {string} [unit] @returns {string} */
export function amount(value, unit = "") {
  if (value === null || value === undefined) return "–";
  const [short, letter] = value >= 1e9 ? [value / 1e9, "G"] : value >= 1e6 ? [value / 1e6, "M"] : value >= 1e4 ? [value / 1e3, "k"] : [value, ""];
  const text = short >= 100 || Number.isInteger(short) ? String(Math.round(short)) : short.toFixed(short >= 10 ? 1 : 2).replace(/\.?0+$/, "");
  return `${text}${letter || unit ? " " : ""}${letter}${unit}`.trim();
}
