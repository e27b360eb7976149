/** Where a message is written: text, replies and edits, completion of names, and telling others that one types. */
import { element } from "./dom.js";

const MOST_CHARACTERS = 2000;
const TYPING_EVERY_MS = 8000;
const MOST_NAMES = 8;

/**
 * @typedef {object} Wishes
 * @property {(text: string, reply: any, files: File[]) => void} send
 * @property {(message: any, text: string) => Promise<void>} edit
 * @property {() => void} typing
 * @property {() => {id: string, name: string, username: string}[]} people who can be mentioned
 * @property {() => Promise<any[]>} commands that can be typed here
 * @property {(text: string) => Promise<string>} run a command; what is wrong with it, or ""
 * @property {() => any} last this user's last message, to be edited
 */

export class Composer {
  /** @param {Wishes} wishes */
  constructor(wishes) {
    this.wishes = wishes;
    /** @type {any} */
    this.replying = null;
    /** @type {any} */
    this.editing = null;
    /** @type {Map<string, string>} channel id to what was not sent yet */
    this.drafts = new Map();
    this.channel = "";
    this.typed = 0;
    /** @type {File[]} */
    this.files = [];
    /** @type {{id: string, name: string, username: string, begin?: string}[]} people, or commands with their beginning */
    this.found = [];
    this.chosen = 0;
    this.text = element("textarea", {
      rows: 1,
      dir: "auto",
      autocomplete: "off",
      "aria-autocomplete": "list",
      "aria-controls": "names",
      on: {
        input: () => this.changed(),
        keydown: (/** @type {KeyboardEvent} */ event) => this.key(event),
        paste: (/** @type {ClipboardEvent} */ event) => this.attach(event.clipboardData?.files),
        blur: () => setTimeout(() => this.offer([]), 200),
      },
    });
    this.names = element("ul", { id: "names", class: "names", role: "listbox", "aria-label": "Suggestions", hidden: true });
    this.about = element("p", { class: "about", hidden: true });
    this.problem = element("p", { class: "problem", role: "alert" });
    this.picker = element("input", {
      type: "file",
      multiple: true,
      hidden: true,
      on: { change: () => { this.attach(this.picker.files); this.picker.value = ""; } },
    });
    const attach = element("button", { type: "button", class: "attach", "aria-label": "Attach files", title: "Attach files", on: { click: () => this.picker.click() } }, "+");
    this.button = element("button", { type: "submit" }, "Send");
    this.node = element(
      "form",
      {
        class: "composer",
        on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); this.submit(); } },
      },
      this.names, this.about, this.problem,
      element("div", { class: "line" }, attach, this.picker, this.text, this.button),
    );
  }

  /** @param {string} id @param {string} name @param {boolean} direct */
  open(id, name, direct) {
    if (this.channel && !this.editing) this.drafts.set(this.channel, this.text.value);
    this.channel = id;
    this.replying = this.editing = null;
    this.files = [];
    const label = direct ? `Message @${name}` : `Message #${name}`;
    this.text.setAttribute("aria-label", label);
    this.text.placeholder = label;
    this.write(this.drafts.get(id) ?? "");
    this.explain();
  }

  /** @param {string} text */
  write(text) {
    this.text.value = text;
    this.fit();
  }

  /** @param {any} message @param {string} author */
  reply(message, author) {
    this.editing = null;
    this.replying = message;
    this.explain(`Reply to ${author}`);
    this.text.focus();
  }

  /** @param {any} message */
  edit(message) {
    this.replying = null;
    this.editing = message;
    this.drafts.set(this.channel, this.text.value);
    this.write(message.content);
    this.explain("Editing a message");
    this.text.focus();
  }

  cancel() {
    if (this.editing) this.write(this.drafts.get(this.channel) ?? "");
    this.replying = this.editing = null;
    this.files = [];
    this.explain();
  }

  /** @param {FileList | null | undefined} files */
  attach(files) {
    if (!files?.length) return;
    this.files.push(...files);
    this.explain();
  }

  /** @param {string} [text] */
  explain(text = this.replying ? "Replying" : this.editing ? "Editing a message" : "") {
    const files = this.files.map((file) => file.name).join(", ");
    const said = [text, files && `Files: ${files}`].filter(Boolean).join(". ");
    this.about.hidden = !said;
    this.about.replaceChildren(
      element("bdi", {}, said), " ",
      element("button", { type: "button", on: { click: () => { this.cancel(); this.text.focus(); } } }, "Cancel"),
    );
    this.button.textContent = this.editing ? "Save" : "Send";
    this.problem.textContent = "";
  }

  changed() {
    this.fit();
    const { value } = this.text;
    const length = [...value].length;
    this.problem.textContent = length > MOST_CHARACTERS ? `${length - MOST_CHARACTERS} characters too long` : "";
    const now = Date.now();
    if (value && !this.editing && now - this.typed > TYPING_EVERY_MS) {
      this.typed = now;
      this.wishes.typing();
    }
    this.complete();
  }

  fit() {
    this.text.style.height = "auto";
    this.text.style.height = `${Math.min(this.text.scrollHeight, 240)}px`;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.isComposing) return;
    if (this.found.length) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        this.choose((this.chosen + (event.key === "ArrowDown" ? 1 : -1) + this.found.length) % this.found.length);
        return;
      }
      if (event.key === "Enter" || event.key === "Tab") {
        event.preventDefault();
        const chosen = this.found[this.chosen];
        // There is nothing to complete any more.
        if (event.key === "Enter" && chosen.begin === this.text.value) this.submit();
        else this.take(chosen);
        return;
      }
      if (event.key === "Escape") {
        this.offer([]);
        return;
      }
    }
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "Escape") this.cancel();
    else if (event.key === "ArrowUp" && !this.text.value) {
      const last = this.wishes.last();
      if (last) {
        event.preventDefault();
        this.edit(last);
      }
    }
  }

  async submit() {
    const text = this.text.value.trim();
    if ((!text && !this.files.length) || [...text].length > MOST_CHARACTERS) return;
    if (this.editing) {
      const message = this.editing;
      try {
        await this.wishes.edit(message, text);
        this.cancel();
      } catch (error) {
        this.problem.textContent = `Not saved: ${/** @type {Error} */ (error).message}`;
      }
      return;
    }
    if (text.startsWith("/") && !this.files.length && (await this.isCommand(text))) {
      const wrong = await this.wishes.run(text);
      this.problem.textContent = wrong;
      if (!wrong) this.write("");
      this.offer([]);
      return;
    }
    const { replying, files } = this;
    this.drafts.delete(this.channel);
    this.typed = 0;
    this.replying = null;
    this.files = [];
    this.write("");
    this.explain();
    this.offer([]);
    this.wishes.send(text, replying, files);
  }

  /** @param {string} text @returns {Promise<boolean>} whether it begins with the name of a command */
  async isCommand(text) {
    const name = text.slice(1).split(/\s/)[0].toLowerCase();
    return (await this.wishes.commands()).some((one) => one.name === name);
  }

  /** @param {string} typed the name of a command, as far as it is there */
  async completeCommand(typed) {
    const commands = await this.wishes.commands();
    if (this.text.value !== `/${typed}`) return;
    const fits = commands.filter((one) => one.name.startsWith(typed.toLowerCase())).slice(0, MOST_NAMES);
    this.offer(fits.map((one) => ({ id: one.id, name: `/${one.name}`, username: one.description, begin: begin(one) })));
  }

  complete() {
    const command = /^\/([^\s]{0,32})$/.exec(this.text.value)?.[1];
    if (command !== undefined) {
      this.completeCommand(command);
      return;
    }
    const before = this.text.value.slice(0, this.text.selectionStart);
    const typed = /(?:^|\s)@([^\s@]{0,32})$/.exec(before)?.[1]?.toLowerCase();
    if (typed === undefined) {
      this.offer([]);
      return;
    }
    const people = this.wishes.people().filter((one) => one.name.toLowerCase().includes(typed) || one.username.toLowerCase().startsWith(typed));
    this.offer(people.slice(0, MOST_NAMES));
  }

  /** @param {{id: string, name: string, username: string, begin?: string}[]} people */
  offer(people) {
    this.found = people;
    this.names.hidden = !people.length;
    this.names.replaceChildren(
      ...people.map((one, at) =>
        element("li", { id: `name-${at}`, role: "option", on: { mousedown: (/** @type {Event} */ event) => { event.preventDefault(); this.take(one); } } }, element("bdi", {}, one.name), " ", element("bdi", { class: "small" }, one.username)),
      ),
    );
    if (people.length) this.choose(0);
    else this.text.removeAttribute("aria-activedescendant");
  }

  /** @param {number} at */
  choose(at) {
    this.chosen = at;
    [...this.names.children].forEach((node, i) => node.setAttribute("aria-selected", String(i === at)));
    this.text.setAttribute("aria-activedescendant", `name-${at}`);
  }

  /** @param {{id: string, begin?: string}} person */
  take(person) {
    if (person.begin !== undefined) {
      this.text.value = person.begin;
      this.offer([]);
      this.changed();
      return;
    }
    const at = this.text.selectionStart;
    const before = this.text.value.slice(0, at).replace(/@[^\s@]*$/, `<@${person.id}> `);
    this.text.value = before + this.text.value.slice(at);
    this.text.setSelectionRange(before.length, before.length);
    this.offer([]);
    this.changed();
  }
}

/** @param {any} command @returns {string} what is typed of it, up to its first option */
function begin(command) {
  const first = (command.options ?? []).find((/** @type {any} */ one) => one.required);
  return `/${command.name}${first ? ` ${first.name}:` : ""}`;
}
