/** The first page: what this is, how to connect, and the form to log in. */
import { element } from "./dom.js";
import { Rest, RestError } from "./rest.js";

/**
 * @typedef {object} Offers
 * @property {Record<string, string>} users names to tokens
 * @property {string} admin_key
 */

/** @returns {Promise<Offers>} what is offered to whoever may read it in the data folder anyway */
export async function offers() {
  try {
    const answer = await fetch("/web/offers", { credentials: "omit", cache: "no-store" });
    return answer.ok ? await answer.json() : { users: {}, admin_key: "" };
  } catch {
    return { users: {}, admin_key: "" };
  }
}

/**
 * @param {HTMLElement} root
 * @param {(token: string) => void} entered
 * @param {string} [why] why one has to log in again
 */
export async function showLogin(root, entered, why = "") {
  const token = element("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: false });
  // A field of type password has no role; as text whose letters are hidden it has one.
  token.type = "text";
  token.className = "secret";
  const problem = element("p", { class: "problem", role: "alert" }, why);
  const people = element("div", { class: "people" });
  const enter = async (/** @type {string} */ given) => {
    problem.textContent = "";
    const bare = given.trim().replace(/^Bot\s+/i, "");
    try {
      await new Rest(bare).ask("GET", "/users/@me");
      entered(bare);
    } catch (error) {
      problem.textContent =
        error instanceof RestError && error.status === 401
          ? "This token is not valid: copy it whole."
          : `Could not log in: ${/** @type {Error} */ (error).message}`;
      token.focus();
    }
  };
  const form = element(
    "form",
    {
      class: "login",
      "aria-label": "Log in",
      on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); enter(token.value); } },
    },
    element("h2", {}, "Chat"),
    people,
    element("label", { htmlFor: "token" }, "Token"),
    element("div", { class: "line" }, token, element("button", { type: "submit" }, "Log in")),
    problem,
  );
  root.replaceChildren(
    element(
      "main",
      { class: "landing" },
      element("h1", {}, "Fanfare"),
      element("p", {}, "A message goes in, and every online member of its channel sees it once and in order."),
      form,
      element(
        "section",
        { "aria-label": "The system" },
        element("h2", {}, "The system at work"),
        element("p", {}, element("a", { href: "/live" }, "Live view"), ": processes, partitions with their owners and lag, rates and delivery times."),
        element("p", {}, element("a", { href: "/docs" }, "Documents"), ": first steps, clients, operation, and how it works."),
      ),
      bots(),
    ),
  );
  const { users } = await offers();
  people.append(
    ...Object.entries(users).map(([name, given]) =>
      element("button", { type: "button", on: { click: () => enter(given) } }, `Log in as ${name}`),
    ),
  );
}

function bots() {
  const code = element("code", {}, `${location.origin}/api/v10`);
  const socket = element("code", {}, "…");
  fetch("/api/v10/gateway", { credentials: "omit" })
    .then((answer) => answer.json())
    .then(({ url }) => { socket.textContent = url; })
    .catch(() => {});
  return element(
    "section",
    { "aria-label": "Connect a bot" },
    element("h2", {}, "Connect a bot"),
    element("p", {}, "Point a Discord library at these addresses; the tokens are printed by ", element("code", {}, "make run"), " and ", element("code", {}, "fanfare token NAME"), "."),
    element("dl", {}, element("dt", {}, "REST"), element("dd", {}, code), element("dt", {}, "Gateway"), element("dd", {}, socket)),
    element("p", {}, "docs/clients.md shows it for ten libraries; docs/index.md leads to everything else."),
  );
}
