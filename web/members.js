/** Who is in the guild that is on the screen, and who of them is there. */
import { element } from "./dom.js";

const MOST_SHOWN = 300;
const STATUS = new Map([
  ["online", "online"],
  ["idle", "idle"],
  ["dnd", "do not disturb"],
]);

/**
 * @param {HTMLElement} aside
 * @param {import("./state.js").State} state
 * @param {(user: string) => void} talk opens the direct messages with somebody
 */
export function drawMembers(aside, state, talk) {
  const guild = state.guilds.get(state.channels.get(state.open)?.guild_id);
  if (!guild) {
    aside.replaceChildren();
    return;
  }
  const members = [...guild.members.values()].map((member) => ({
    id: member.user.id,
    name: member.nick || member.user.global_name || member.user.username,
    status: STATUS.get(state.presences.get(member.user.id) ?? "") ?? "",
  }));
  members.sort((a, b) => Number(Boolean(b.status)) - Number(Boolean(a.status)) || a.name.localeCompare(b.name));
  const more = Math.max(guild.member_count ?? 0, members.length) - Math.min(MOST_SHOWN, members.length);
  aside.replaceChildren(
    element("h2", {}, `Members: ${guild.member_count ?? members.length}`),
    element(
      "ul",
      {},
      ...members.slice(0, MOST_SHOWN).map(({ id, name, status }) =>
        element(
          "li",
          {},
          element("span", { class: `dot ${status.split(" ").join("-")}` }),
          id === state.me.id
            ? element("bdi", { title: name }, name)
            : element("button", { type: "button", title: `Write to ${name}`, on: { click: () => talk(id) } }, element("bdi", {}, name)),
          status && element("span", { class: "unseen" }, `, ${status}`),
        ),
      ),
    ),
    more > 0 ? element("p", { class: "small" }, `and ${more} more`) : "",
  );
}
