/**
 * The text of messages: what is typed becomes a tree of spans, and the tree becomes elements. Nothing typed ever is
 * HTML; a link leads to http or https, or is plain text.
 */
import { element } from "./dom.js";

/**
 * @typedef {string | {kind: string, parts?: Span[], text?: string, id?: string}} Span
 */

const BLOCK = /^```(?:[a-zA-Z0-9_+-]{1,20}\n)?\n?([\s\S]+?)```/;
/** @type {[string, RegExp][]} each is tried where the text stands */
const INLINE = [
  ["code", /^(`{1,2})(?!`)([\s\S]*?[^`])\1(?!`)/],
  ["escape", /^\\([\\*_~`|<>#@:-])/],
  ["user", /^<@!?(\d{1,20})>/],
  ["role", /^<@&(\d{1,20})>/],
  ["channel", /^<#(\d{1,20})>/],
  ["emoji", /^<a?:(\w{2,32}):(\d{1,20})>/],
  ["everyone", /^@(everyone|here)\b/],
  ["link", /^<?(https?:\/\/[^\s<>"]{1,2000})>?/],
  ["strong", /^\*\*([\s\S]+?)\*\*(?!\*)/],
  ["underline", /^__([\s\S]+?)__(?!_)/],
  ["emphasis", /^\*(?![\s*])([\s\S]+?)(?<![\s*])\*(?!\*)/],
  ["emphasis", /^_(?![\s_])([^_]+?)_(?![A-Za-z0-9_])/],
  ["strike", /^~~([\s\S]+?)~~/],
  ["spoiler", /^\|\|([\s\S]+?)\|\|/],
];
/** Characters at which one of them may begin. */
const SPECIAL = /[`\\<@h*_~|]/g;
const DEEPEST = 6;

/** @param {string} text @returns {Span[]} */
export function parse(text) {
  /** @type {Span[]} */
  const out = [];
  let rest = text;
  let plain = "";
  const flush = () => {
    if (plain) out.push(...lines(plain));
    plain = "";
  };
  while (rest) {
    const at = rest.indexOf("```");
    const block = at < 0 ? null : BLOCK.exec(rest.slice(at));
    if (!block) {
      plain += rest;
      break;
    }
    plain += rest.slice(0, at);
    flush();
    out.push({ kind: "block", text: block[1] });
    rest = rest.slice(at + block[0].length).replace(/^\n/, "");
  }
  flush();
  return out;
}

/** @param {string} text @returns {Span[]} quotes and headings, which are whole lines */
function lines(text) {
  /** @type {Span[]} */
  const out = [];
  /** @type {string[]} */
  let open = [];
  let quoted = false;
  const flush = () => {
    if (open.length) {
      const parts = inline(open.join("\n"), 0);
      if (quoted) out.push({ kind: "quote", parts });
      else out.push(...parts);
    }
    open = [];
  };
  for (const line of text.split("\n")) {
    const heading = /^(#{1,3}) +(\S.*)$/.exec(line);
    const quote = line.startsWith("> ");
    if (heading || quote !== quoted) flush();
    if (heading) {
      out.push({ kind: "heading", parts: inline(heading[2], 0) });
      quoted = false;
      continue;
    }
    quoted = quote;
    open.push(quote ? line.slice(2) : line);
  }
  flush();
  return out;
}

/** @param {string} text @param {number} depth @returns {Span[]} */
function inline(text, depth) {
  /** @type {Span[]} */
  const out = [];
  let plain = "";
  let at = 0;
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text);
    if (!next) break;
    plain += text.slice(at, next.index);
    at = next.index;
    const found = depth < DEEPEST ? spanAt(text, at) : null;
    if (!found) {
      plain += text[at];
      at += 1;
      continue;
    }
    const [kind, match] = found;
    at += match[0].length;
    if (kind === "escape") plain += match[1];
    else {
      if (plain) out.push(plain);
      plain = "";
      out.push(made(kind, match, depth));
      if (kind === "link") {
        const { text: address = "" } = /** @type {{text?: string}} */ (out[out.length - 1]);
        if (!match[0].startsWith("<")) at -= match[1].length - address.length;
      }
    }
  }
  plain += text.slice(at);
  if (plain) out.push(plain);
  return out;
}

/** @param {string} text @param {number} at @returns {[string, RegExpExecArray] | null} */
function spanAt(text, at) {
  const rest = text.slice(at, at + 2100);
  for (const [kind, pattern] of INLINE) {
    const match = pattern.exec(rest);
    if (!match) continue;
    if (kind === "link" && at > 0 && /\w/.test(text[at - 1])) continue;
    if (kind === "emphasis" && rest[0] === "_" && at > 0 && /\w/.test(text[at - 1])) continue;
    return [kind, match];
  }
  return null;
}

/** @param {string} kind @param {RegExpExecArray} match @param {number} depth @returns {Span} */
function made(kind, match, depth) {
  switch (kind) {
    case "code":
      return { kind, text: match[2] };
    case "user":
    case "role":
    case "channel":
      return { kind, id: match[1] };
    case "everyone":
      return { kind, text: match[0] };
    case "emoji":
      return { kind, text: `:${match[1]}:` };
    case "link":
      return { kind, text: address(match[1]) };
    default:
      return { kind, parts: inline(match[1], depth + 1) };
  }
}

/** @param {string} text @returns {string} without the full stop after it, and without a bracket that it did not open */
function address(text) {
  let found = text.replace(/[.,:;!?'"]+$/, "");
  while (found.endsWith(")") && count(found, ")") > count(found, "(")) found = found.slice(0, -1);
  return found;
}

/** @param {string} text @param {string} one */
function count(text, one) {
  return text.split(one).length - 1;
}

/**
 * @typedef {object} Names
 * @property {(id: string) => string} user
 * @property {(id: string) => string} role
 * @property {(id: string) => string} channel
 * @property {string} me
 */

/**
 * @param {Span[]} spans
 * @param {Names} names
 * @returns {Node[]}
 */
export function render(spans, names) {
  return spans.map((span) => {
    if (typeof span === "string") return document.createTextNode(span);
    const inner = () => render(span.parts ?? [], names);
    switch (span.kind) {
      case "block":
        return element("pre", { tabIndex: 0 }, element("code", {}, span.text));
      case "code":
        return element("code", {}, span.text);
      case "quote":
        return element("blockquote", { dir: "auto" }, ...inner());
      case "heading":
        return element("strong", { class: "heading" }, ...inner());
      case "strong":
        return element("strong", {}, ...inner());
      case "emphasis":
        return element("em", {}, ...inner());
      case "underline":
        return element("u", {}, ...inner());
      case "strike":
        return element("s", {}, ...inner());
      case "spoiler":
        return spoiler(inner());
      case "user":
        return mention(`@${names.user(span.id ?? "")}`, span.id === names.me);
      case "role":
        return mention(`@${names.role(span.id ?? "")}`, false);
      case "channel":
        return mention(`#${names.channel(span.id ?? "")}`, false);
      case "everyone":
        return mention(span.text ?? "", true);
      case "link":
        return link(span.text ?? "", span.text ?? "");
      default:
        return document.createTextNode(span.text ?? "");
    }
  });
}

/**
 * @param {string} url
 * @param {string} text
 * @returns {Node} plain text where the address is neither http nor https
 */
export function link(url, text) {
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    return document.createTextNode(text);
  }
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:") return document.createTextNode(text);
  return element("a", { href: parsed.href, target: "_blank", rel: "noopener noreferrer nofollow" }, text);
}

/** @param {string} text @param {boolean} mine */
function mention(text, mine) {
  return element("bdi", { class: mine ? "mention mine" : "mention" }, text);
}

/** @param {Node[]} inner */
function spoiler(inner) {
  const hidden = element("span", { class: "hidden" }, ...inner);
  const button = element("button", { class: "spoiler", type: "button", "aria-expanded": "false", "aria-label": "Show spoiler" }, hidden);
  hidden.inert = true;
  button.addEventListener("click", () => {
    hidden.inert = false;
    hidden.className = "";
    button.replaceWith(hidden);
  });
  return button;
}
