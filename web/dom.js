/**
 * Makes elements. Text only ever becomes text: there is no way in here by which it could become HTML.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [properties] `class`, `on: {event: handler}`, `data: {...}`, `aria-*`, or a property
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "class") made.className = value;
    else if (name in made && !name.startsWith("aria")) /** @type {any} */ (made)[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter(present).map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

/** @param {Child} child @returns {child is Node | string | number} */
function present(child) {
  return child !== null && child !== undefined && child !== false;
}

/**
 * Say something to screen readers, and to nobody else.
 * @param {string} text
 */
export function announce(text) {
  let region = document.getElementById("announcer");
  if (!region) {
    region = element("div", { id: "announcer", class: "unseen", role: "status" });
    document.body.append(region);
  }
  region.textContent = text;
}
