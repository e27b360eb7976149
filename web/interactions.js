/** What this user does with applications: commands, buttons, selects, and the dialogues that these open. */
import { element } from "./dom.js";

const COMMAND = 2;
const COMPONENT = 3;
const DIALOGUE = 5;
const SUBCOMMANDS = new Set([1, 2]);
const WHOLE = 4;
const BOOLEAN = 5;
const NUMBER = 10;
const LABEL = 18;
const MENTION = /^<[@#]?[!&]?(\d+)>$/;

export class Interactions {
  /**
   * @param {import("./rest.js").Rest} rest
   * @param {(text: string) => void} tell what went wrong
   */
  constructor(rest, tell) {
    this.rest = rest;
    this.tell = tell;
    /** @type {Map<string, Promise<any[]>>} guild id to its commands */
    this.index = new Map();
    /** @type {Map<string, {application_id: string, channel_id: string}>} nonce to whom and where */
    this.begun = new Map();
    this.count = 0;
  }

  /** @param {string | undefined} guild @returns {Promise<any[]>} the commands that are typed */
  commands(guild) {
    if (!guild) return Promise.resolve([]);
    let found = this.index.get(guild);
    if (!found) {
      found = this.rest.ask("GET", `/guilds/${guild}/application-command-index`).then(
        (said) => said.application_commands.filter((/** @type {any} */ one) => one.type === 1),
        () => [],
      );
      this.index.set(guild, found);
      // Applications change their commands now and then.
      setTimeout(() => this.index.delete(guild), 10_000);
    }
    return found;
  }

  /**
   * Run a command as it was typed: `/name option:value other:words of it`.
   * @param {string} channel @param {string | undefined} guild @param {string} text
   * @returns {Promise<string>} what is wrong with it, or ""
   */
  async run(channel, guild, text) {
    const [name, ...words] = text.slice(1).split(/\s+/);
    const command = (await this.commands(guild)).find((one) => one.name === name.toLowerCase());
    if (!command) return `There is no command /${name}`;
    const { options, wrong } = given(command.options ?? [], words);
    if (wrong) return wrong;
    const data = { id: command.id, name: command.name, type: 1, options };
    return this.begin({ type: COMMAND, application_id: command.application_id, channel_id: channel, data });
  }

  /** @param {any} message @param {any} component @param {string[]} [values] */
  async press(message, component, values) {
    const data = { component_type: component.type, custom_id: component.custom_id, ...(values && { values }) };
    const { author, channel_id, id } = message;
    const application_id = message.application_id ?? author.id;
    const wrong = await this.begin({ type: COMPONENT, application_id, channel_id, message_id: id, data });
    if (wrong) this.tell(wrong);
  }

  /** @param {any} body @returns {Promise<string>} */
  async begin(body) {
    const nonce = `web-${Date.now()}-${(this.count += 1)}`;
    this.begun.set(nonce, body);
    setTimeout(() => this.begun.delete(nonce), 900_000);
    try {
      await this.rest.ask("POST", "/interactions", { ...body, nonce });
      return "";
    } catch (error) {
      return `Not done: ${/** @type {Error} */ (error).message}`;
    }
  }

  /** A dialogue that an application opens. @param {any} said the `d` of INTERACTION_MODAL_CREATE */
  open(said) {
    const begun = this.begun.get(said.nonce);
    if (!begun) return;
    /** @type {{custom_id: string, box: HTMLInputElement | HTMLTextAreaElement}[]} */
    const fields = [];
    const inputs = said.components.map((/** @type {any} */ row) => {
      const one = row.type === LABEL ? row.component : row.components?.[0];
      if (!one || one.type !== 4) return element("p", { class: "small" }, row.content ?? "A field that this page cannot show");
      const box = element(one.style === 2 ? "textarea" : "input", {
        required: one.required ?? true,
        maxLength: one.max_length ?? 4000,
        minLength: one.min_length ?? 0,
        placeholder: one.placeholder ?? "",
        value: one.value ?? "",
        dir: "auto",
      });
      fields.push({ custom_id: one.custom_id, box });
      return element("label", {}, row.label ?? one.label ?? "", box);
    });
    const problem = element("p", { class: "problem", role: "alert" });
    const dialogue = element("dialog", { class: "dialogue", "aria-label": said.title });
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      const components = fields.map(({ custom_id, box }) => ({ type: 1, components: [{ type: 4, custom_id, value: box.value }] }));
      const { application_id, channel_id } = begun;
      const wrong = await this.begin({ type: DIALOGUE, application_id, channel_id, data: { id: said.id, components } });
      if (wrong) problem.textContent = wrong;
      else dialogue.close();
    };
    dialogue.append(
      element(
        "form",
        { on: { submit } },
        element("h2", {}, element("bdi", {}, said.title)),
        ...inputs,
        problem,
        element(
          "div",
          { class: "actions" },
          element("button", { type: "submit" }, "Submit"),
          element("button", { type: "button", on: { click: () => dialogue.close() } }, "Cancel"),
        ),
      ),
    );
    dialogue.addEventListener("close", () => dialogue.remove());
    document.body.append(dialogue);
    dialogue.showModal();
  }
}

/**
 * The options of a command in what was typed.
 * @param {any[]} defined @param {string[]} words
 * @returns {{options: any[], wrong: string}}
 */
export function given(defined, words) {
  const below = defined.find((one) => SUBCOMMANDS.has(one.type) && one.name === words[0]?.toLowerCase());
  if (below) {
    const { options, wrong } = given(below.options ?? [], words.slice(1));
    return { options: [{ type: below.type, name: below.name, options }], wrong };
  }
  if (defined.some((one) => SUBCOMMANDS.has(one.type))) {
    return { options: [], wrong: `Say which: ${defined.map((one) => one.name).join(", ")}` };
  }
  /** @type {Map<string, string>} */
  const said = new Map();
  let at = "";
  for (const word of words) {
    const [, name, value] = /^([^:\s]+):(.*)$/.exec(word) ?? [];
    const known = name !== undefined && defined.some((one) => one.name === name.toLowerCase());
    if (known) said.set((at = name.toLowerCase()), value);
    else if (at) said.set(at, `${said.get(at)} ${word}`.trim());
    else if (word) return { options: [], wrong: `Give options as name:value (${defined.map((one) => one.name).join(", ")})` };
  }
  const missing = defined.find((one) => one.required && !said.get(one.name));
  if (missing) return { options: [], wrong: `${missing.name} is missing: ${missing.description}` };
  const options = [...said].filter(([, value]) => value).map(([name, value]) => {
    const { type, choices } = defined.find((one) => one.name === name);
    const chosen = (choices ?? []).find((/** @type {any} */ one) => one.name.toLowerCase() === value.toLowerCase());
    return { type, name, value: chosen ? chosen.value : typed(type, value) };
  });
  return { options, wrong: "" };
}

/** @param {number} type @param {string} value */
function typed(type, value) {
  if ((type === WHOLE || type === NUMBER) && value.trim() !== "" && Number.isFinite(Number(value))) return Number(value);
  if (type === BOOLEAN) return /^(true|yes|on|1)$/i.test(value);
  return MENTION.exec(value)?.[1] ?? value;
}
