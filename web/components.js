/** Components of messages: buttons, selects, and the layout of the messages that are made of nothing else. */
import { element } from "./dom.js";
import { link, parse, render } from "./markdown.js";

const KIND = { row: 1, button: 2, strings: 3, section: 9, text: 10, gallery: 12, file: 13, separator: 14, container: 17 };
const LINK_STYLE = 5;
const STYLES = new Map([[1, "primary"], [3, "good"], [4, "danger"]]);

/**
 * @param {any} message
 * @param {any} names as `render` wants them
 * @param {(message: any, component: any, values?: string[]) => void} press
 * @returns {HTMLElement | null}
 */
export function components(message, names, press) {
  const those = message.components ?? [];
  if (!those.length) return null;
  const shown = (/** @type {any} */ one) => component(one, message, names, press);
  return element("div", { class: "components" }, ...those.map(shown));
}

/**
 * @param {any} one @param {any} message @param {any} names
 * @param {(message: any, component: any, values?: string[]) => void} press
 * @returns {HTMLElement | null}
 */
function component(one, message, names, press) {
  const inside = () => (one.components ?? []).map((/** @type {any} */ each) => component(each, message, names, press));
  switch (one.type) {
    case KIND.row:
      return element("div", { class: "row" }, ...inside());
    case KIND.container:
      return element("section", { class: "embed", "aria-label": "Container" }, ...inside());
    case KIND.section:
      return element("div", { class: "section" }, element("div", {}, ...inside()), one.accessory ? component(one.accessory, message, names, press) : null);
    case KIND.text:
      return element("div", { class: "content", dir: "auto" }, ...render(parse(one.content), names));
    case KIND.separator:
      return element("hr");
    case KIND.gallery:
      // A picture of somebody else's server would tell that server who reads this.
      return element("p", {}, ...(one.items ?? []).map((/** @type {any} */ item) => link(item.media.url, item.description || "Picture")));
    case KIND.file:
      return element("p", { class: "file" }, link(one.file.url, one.name || "File"));
    case KIND.button:
      return button(one, message, press);
    case KIND.strings:
      return select(one, message, press);
    default:
      return element("p", { class: "small" }, "A component that this page cannot show");
  }
}

/** @param {any} one @param {any} message @param {(message: any, component: any) => void} press */
function button(one, message, press) {
  const label = one.label || one.emoji?.name || "Button";
  if (one.style === LINK_STYLE) return element("span", { class: "file" }, link(one.url, label));
  return element(
    "button",
    {
      type: "button",
      class: `component ${STYLES.get(one.style) ?? ""}`,
      disabled: Boolean(one.disabled),
      on: { click: () => press(message, one) },
    },
    element("bdi", {}, one.emoji?.name && one.label ? `${one.emoji.name} ${label}` : label),
  );
}

/** @param {any} one @param {any} message @param {(message: any, component: any, values: string[]) => void} press */
function select(one, message, press) {
  const several = (one.max_values ?? 1) > 1;
  const title = one.placeholder || "Choose";
  const options = one.options.map((/** @type {any} */ option) =>
    element("option", { value: option.value, selected: Boolean(option.default), title: option.description }, option.label),
  );
  const box = element("select", { "aria-label": title, multiple: several, disabled: Boolean(one.disabled) });
  if (!several) box.append(element("option", { value: "", disabled: true, selected: !one.options.some((/** @type {any} */ each) => each.default) }, title));
  box.append(...options);
  const chosen = () => press(message, one, [...box.selectedOptions].map((option) => option.value));
  if (!several) {
    box.addEventListener("change", chosen);
    return box;
  }
  return element("div", { class: "row" }, box, element("button", { type: "button", on: { click: chosen } }, "Choose"));
}
