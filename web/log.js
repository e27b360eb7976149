/**
 * A list of which only the rows near the screen exist. The height of a row is estimated until it was seen once. The
 * list stays at its end while rows come, and where it is while rows above change.
 */
import { element } from "./dom.js";

const ESTIMATE_PX = 52;
const OVERSCAN_PX = 700;
const AT_END_PX = 24;

/**
 * @typedef {object} Row
 * @property {string} key the same for the same row
 * @property {any} version another one when it has to be made anew
 * @property {() => HTMLElement} make
 */

export class VirtualLog {
  /**
   * @param {HTMLElement} box which scrolls
   * @param {() => void} nearTop called when somebody scrolls to the first rows
   * @param {() => void} scrolled called when it is at the end, or no more
   */
  constructor(box, nearTop, scrolled) {
    this.box = box;
    this.nearTop = nearTop;
    this.scrolled = scrolled;
    this.above = element("div", { class: "space" });
    this.below = element("div", { class: "space" });
    box.append(this.above, this.below);
    /** @type {Row[]} */
    this.rows = [];
    /** @type {Map<string, number>} */
    this.heights = new Map();
    /** @type {Map<string, {version: any, node: HTMLElement}>} */
    this.shown = new Map();
    this.atEnd = true;
    this.queued = false;
    this.busy = false;
    this.sizes = new ResizeObserver((entries) => this.measured(entries));
    box.addEventListener("scroll", () => this.moved(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  /** @param {Row[]} rows @param {boolean} [fresh] whether this is another conversation */
  show(rows, fresh = false) {
    if (fresh) {
      for (const { node } of this.shown.values()) this.remove(node);
      this.shown.clear();
      this.heights.clear();
      this.atEnd = true;
    }
    this.rows = rows;
    this.soon();
  }

  end() {
    this.atEnd = true;
    this.soon();
    this.scrolled();
  }

  /** @param {string} key */
  jump(key) {
    const at = this.rows.findIndex((row) => row.key === key);
    if (at < 0) return;
    this.atEnd = false;
    this.box.scrollTop = Math.max(0, this.offset(at) - this.box.clientHeight / 3);
    this.draw();
    // By now the rows around it have been measured.
    this.box.scrollTop = Math.max(0, this.offset(at) - this.box.clientHeight / 3);
    this.draw();
  }

  soon() {
    if (this.queued) return;
    this.queued = true;
    // Not an animation frame: there are none while the page is hidden.
    queueMicrotask(() => setTimeout(() => this.draw(), 0));
  }

  moved() {
    if (this.busy) return;
    const before = this.atEnd;
    this.atEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < AT_END_PX;
    this.draw();
    if (before !== this.atEnd) this.scrolled();
    if (this.box.scrollTop < OVERSCAN_PX) this.nearTop();
  }

  draw() {
    this.queued = false;
    this.busy = true;
    const anchor = this.atEnd ? null : this.anchor();
    const height = this.box.clientHeight || 600;
    let top = this.atEnd ? Infinity : this.box.scrollTop;
    if (anchor) {
      const at = this.rows.findIndex((row) => row.key === anchor.key);
      if (at >= 0) top = this.offset(at) - anchor.from;
    }
    const total = this.total();
    top = Math.min(top, Math.max(0, total - height));
    this.place(top - OVERSCAN_PX, top + height + OVERSCAN_PX);
    if (this.atEnd) this.box.scrollTop = this.box.scrollHeight;
    else if (anchor) this.hold(anchor);
    this.busy = false;
  }

  /** @param {number} from @param {number} to */
  place(from, to) {
    let y = 0;
    let before = 0;
    let after = 0;
    /** @type {Set<string>} */
    const wanted = new Set();
    /** @type {HTMLElement | ChildNode} */
    let last = this.above;
    for (const row of this.rows) {
      const height = this.heights.get(row.key) ?? ESTIMATE_PX;
      if (y + height < from) before += height;
      else if (y > to) after += height;
      else {
        wanted.add(row.key);
        last = this.put(row, last);
      }
      y += height;
    }
    for (const [key, { node }] of this.shown) {
      if (wanted.has(key)) continue;
      // Whoever was there with the keyboard is not thrown back to the beginning of the page.
      if (node.contains(document.activeElement)) this.box.focus({ preventScroll: true });
      this.remove(node);
      this.shown.delete(key);
    }
    this.above.style.height = `${before}px`;
    this.below.style.height = `${after}px`;
  }

  /** @param {Row} row @param {ChildNode} last @returns {HTMLElement} */
  put(row, last) {
    let shown = this.shown.get(row.key);
    if (!shown || shown.version !== row.version) {
      const node = row.make();
      if (shown) {
        const focused = shown.node.contains(document.activeElement);
        this.sizes.unobserve(shown.node);
        shown.node.replaceWith(node);
        if (focused) node.focus({ preventScroll: true });
      }
      node.dataset.key = row.key;
      shown = { version: row.version, node };
      this.shown.set(row.key, shown);
      this.sizes.observe(node);
    }
    if (last.nextSibling !== shown.node) last.after(shown.node);
    return shown.node;
  }

  /** @param {HTMLElement} node */
  remove(node) {
    this.sizes.unobserve(node);
    node.remove();
  }

  /** @param {ResizeObserverEntry[]} entries */
  measured(entries) {
    let other = false;
    for (const entry of entries) {
      const node = /** @type {HTMLElement} */ (entry.target);
      const height = node.offsetHeight;
      if (!node.isConnected || !height) continue;
      const key = node.dataset.key ?? "";
      if (this.heights.get(key) !== height) other = true;
      this.heights.set(key, height);
    }
    if (other) this.soon();
  }

  /** @returns {{key: string, from: number} | null} the first row on the screen, and how far it is from the top */
  anchor() {
    const top = this.box.getBoundingClientRect().top;
    for (let node = this.above.nextElementSibling; node && node !== this.below; node = node.nextElementSibling) {
      const { bottom, top: own } = node.getBoundingClientRect();
      if (bottom > top) return { key: /** @type {HTMLElement} */ (node).dataset.key ?? "", from: own - top };
    }
    return null;
  }

  /** @param {{key: string, from: number}} anchor */
  hold(anchor) {
    const node = this.shown.get(anchor.key)?.node;
    if (!node?.isConnected) return;
    const by = node.getBoundingClientRect().top - this.box.getBoundingClientRect().top - anchor.from;
    if (Math.abs(by) >= 1) this.box.scrollTop += by;
  }

  /** @param {number} at @returns {number} */
  offset(at) {
    let y = 0;
    for (let i = 0; i < at; i += 1) y += this.heights.get(this.rows[i].key) ?? ESTIMATE_PX;
    return y;
  }

  total() {
    return this.offset(this.rows.length);
  }
}
