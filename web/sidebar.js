/** Guilds, their channels, and direct messages, with what is unread. */
import { element } from "./dom.js";

/**
 * @param {HTMLElement} nav
 * @param {import("./state.js").State} state
 */
export function drawSidebar(nav, state) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.channel;
  const directs = state.directs();
  const guilds = [...state.guilds.values()].filter((guild) => guild.name !== undefined || guild.unavailable);
  nav.replaceChildren(
    ...guilds.map((guild) =>
      element(
        "section",
        { "aria-label": guild.name ?? "A guild" },
        element("h2", { title: guild.name }, element("bdi", {}, guild.name ?? "A guild that cannot be loaded now")),
        ...state.tree(guild.id).flatMap(({ category, channels }) => [
          category && element("h3", { title: category.name }, element("bdi", {}, category.name)),
          channels.length > 0 && element("ul", {}, ...channels.map((channel) => item(channel, state))),
        ]),
      ),
    ),
    directs.length > 0 &&
      element(
        "section",
        { "aria-label": "Direct messages" },
        element("h2", {}, "Direct messages"),
        element("ul", {}, ...directs.map((channel) => item(channel, state))),
      ) || "",
  );
  if (focused) /** @type {HTMLElement | null} */ (nav.querySelector(`[data-channel="${CSS.escape(focused)}"]`))?.focus();
}

/** @param {any} channel @param {import("./state.js").State} state */
function item(channel, state) {
  const { count, mentions } = state.mark(channel.id);
  const title = state.title(channel);
  const here = channel.id === state.open;
  const thread = channel.type >= 10 && channel.type <= 12;
  const unread = count > 0 && !here;
  return element(
    "li",
    { class: thread ? "thread" : "" },
    // The number stands beside the link, whose name is the channel's alone.
    element(
      "a",
      {
        href: `#/${channel.id}`,
        class: `channel${unread ? " unread" : ""}`,
        title,
        "aria-current": here ? "page" : null,
        "aria-describedby": unread ? `unread-${channel.id}` : null,
        data: { channel: channel.id },
      },
      element("bdi", {}, title),
    ),
    unread &&
      element(
        "span",
        { id: `unread-${channel.id}`, class: `badge${mentions ? " mention" : ""}` },
        String(mentions || count),
        element("span", { class: "unseen" }, mentions ? " mentions" : " unread"),
      ),
  );
}
