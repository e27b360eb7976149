/**
 * What this client knows: guilds, channels, people and messages, kept current by the gateway's events. Knows nothing
 * of pages. Tells of changes by events: `guilds`, `channel` (id), `messages` (channel id), `people`, `typing`, `unread`.
 */

const CATEGORY = 4;
const DM = 1;
const PRIVATE_THREAD = 12;
const THREADS = new Set([10, 11, PRIVATE_THREAD]);
const TALKED_IN = new Set([0, 1, 3, 5, 10, 11, 12]);
const TYPING_MS = 10_000;
/** More are loaded again when somebody scrolls to them. */
const MOST_KEPT = 12_000;

/** @typedef {any} Message */
/**
 * @typedef {object} Talk the messages of a channel, as far as they are known
 * @property {Message[]} messages oldest first
 * @property {boolean} loaded whether the newest ones have been asked for
 * @property {boolean} begins whether the first one is the channel's first
 * @property {Promise<void> | null} loading
 */

export class State extends EventTarget {
  constructor() {
    super();
    /** @type {any} */
    this.me = null;
    /** @type {Map<string, any>} */
    this.guilds = new Map();
    /** @type {Map<string, any>} */
    this.channels = new Map();
    /** @type {Map<string, any>} */
    this.users = new Map();
    /** @type {Map<string, Talk>} */
    this.talks = new Map();
    /** @type {Map<string, string>} user id to status */
    this.presences = new Map();
    /** @type {Map<string, Map<string, number>>} channel id to user id to until when */
    this.typing = new Map();
    /** @type {Map<string, {read: string, count: number, mentions: number}>} */
    this.unread = new Map();
    /** The channel that is on the screen. */
    this.open = "";
  }

  /** @param {string} t @param {any} d */
  apply(t, d) {
    switch (t) {
      case "READY":
        this.me = d.user;
        this.users.set(d.user.id, d.user);
        this.guilds.clear();
        this.channels.clear();
        for (const channel of d.private_channels ?? []) this.channels.set(channel.id, channel);
        for (const guild of d.guilds) this.guilds.set(guild.id, { ...guild, members: new Map(), roles: [] });
        this.readMarks();
        this.tell("guilds");
        break;
      case "GUILD_CREATE":
        this.guildCreated(d);
        break;
      case "GUILD_UPDATE":
        this.change(this.guilds, d, "guilds");
        break;
      case "GUILD_DELETE":
        this.guilds.delete(d.id);
        for (const [id, channel] of this.channels) if (channel.guild_id === d.id) this.channels.delete(id);
        this.tell("guilds");
        break;
      case "THREAD_UPDATE":
        // An archived one stays on the screen as long as it is looked at.
        if (d.thread_metadata.archived && d.id !== this.open) {
          this.channels.delete(d.id);
          this.tell("guilds");
          break;
        }
      // falls through
      case "CHANNEL_CREATE":
      case "CHANNEL_UPDATE":
      case "THREAD_CREATE":
        this.channels.set(d.id, { ...this.channels.get(d.id), ...d });
        for (const user of d.recipients ?? []) this.users.set(user.id, user);
        this.tell("guilds");
        this.tell("channel", d.id);
        break;
      case "CHANNEL_DELETE":
      case "THREAD_DELETE":
        this.channels.delete(d.id);
        this.dropThreads((thread) => thread.parent_id === d.id);
        this.tell("guilds");
        break;
      case "THREAD_LIST_SYNC":
        this.dropThreads((thread) => d.channel_ids.includes(thread.parent_id));
        for (const thread of d.threads) this.channels.set(thread.id, thread);
        this.tell("guilds");
        break;
      case "THREAD_MEMBERS_UPDATE":
        if (!d.removed_member_ids?.includes(this.me.id)) break;
        this.dropThreads((thread) => thread.id === d.id && thread.type === PRIVATE_THREAD);
        this.tell("guilds");
        break;
      case "GUILD_MEMBER_ADD":
      case "GUILD_MEMBER_UPDATE":
        this.member(d.guild_id, d);
        this.tell("people");
        break;
      case "GUILD_MEMBER_REMOVE":
        this.guilds.get(d.guild_id)?.members.delete(d.user.id);
        this.tell("people");
        break;
      case "GUILD_MEMBERS_CHUNK":
        for (const member of d.members) this.member(d.guild_id, member);
        this.presencesOf(d.presences);
        this.tell("people");
        break;
      case "GUILD_ROLE_CREATE":
      case "GUILD_ROLE_UPDATE":
        this.roles(d.guild_id, (roles) => [...roles.filter((one) => one.id !== d.role.id), d.role]);
        break;
      case "GUILD_ROLE_DELETE":
        this.roles(d.guild_id, (roles) => roles.filter((one) => one.id !== d.role_id));
        break;
      case "PRESENCE_UPDATE":
        this.presences.set(d.user.id, d.status);
        this.tell("people");
        break;
      case "USER_UPDATE":
        this.users.set(d.id, { ...this.users.get(d.id), ...d });
        this.tell("people");
        break;
      case "TYPING_START":
        this.typed(d.channel_id, d.user_id);
        break;
      case "MESSAGE_CREATE":
        this.created(d);
        break;
      case "MESSAGE_UPDATE":
        this.edit(d.channel_id, d.id, (message) => ({ ...message, ...d }));
        break;
      case "MESSAGE_DELETE":
        this.removed(d.channel_id, new Set([d.id]));
        break;
      case "MESSAGE_DELETE_BULK":
        this.removed(d.channel_id, new Set(d.ids));
        break;
      case "MESSAGE_REACTION_ADD":
        this.react(d, 1);
        break;
      case "MESSAGE_REACTION_REMOVE":
        this.react(d, -1);
        break;
      case "MESSAGE_REACTION_REMOVE_ALL":
        this.edit(d.channel_id, d.message_id, (message) => ({ ...message, reactions: [] }));
        break;
      case "MESSAGE_REACTION_REMOVE_EMOJI":
        this.edit(d.channel_id, d.message_id, (message) => ({
          ...message,
          reactions: (message.reactions ?? []).filter((/** @type {any} */ one) => emojiKey(one.emoji) !== emojiKey(d.emoji)),
        }));
        break;
    }
  }

  /** @param {(thread: any) => boolean} which */
  dropThreads(which) {
    for (const [id, channel] of this.channels) if (THREADS.has(channel.type) && which(channel)) this.channels.delete(id);
  }

  /** @param {any} d */
  guildCreated(d) {
    const before = this.guilds.get(d.id);
    this.guilds.set(d.id, { ...before, ...d, unavailable: false, members: new Map() });
    for (const [id, channel] of this.channels) if (channel.guild_id === d.id) this.channels.delete(id);
    for (const channel of [...d.channels, ...(d.threads ?? [])]) this.channels.set(channel.id, { ...channel, guild_id: d.id });
    for (const member of d.members) this.member(d.id, member);
    this.presencesOf(d.presences);
    this.tell("guilds");
    this.tell("people");
  }

  /** @param {any[] | undefined} presences */
  presencesOf(presences) {
    for (const presence of presences ?? []) this.presences.set(presence.user.id, presence.status);
  }

  /** @param {Map<string, any>} map @param {any} d @param {string} event */
  change(map, d, event) {
    if (map.has(d.id)) map.set(d.id, { ...map.get(d.id), ...d });
    this.tell(event);
  }

  /** @param {string} guild @param {any} member */
  member(guild, member) {
    const before = this.guilds.get(guild)?.members.get(member.user.id);
    this.users.set(member.user.id, { ...this.users.get(member.user.id), ...member.user });
    this.guilds.get(guild)?.members.set(member.user.id, { ...before, ...member });
  }

  /** @param {string} guild @param {(roles: any[]) => any[]} change */
  roles(guild, change) {
    const known = this.guilds.get(guild);
    if (known) known.roles = change(known.roles);
    this.tell("people");
  }

  /** @param {string} channel @param {string} user */
  typed(channel, user) {
    if (user === this.me?.id) return;
    const now = Date.now();
    const those = this.typing.get(channel) ?? new Map();
    those.set(user, now + TYPING_MS);
    this.typing.set(channel, those);
    this.tell("typing", channel);
    setTimeout(() => this.tell("typing", channel), TYPING_MS + 50);
  }

  /** @param {string} channel @returns {string[]} names of those who type */
  typers(channel) {
    const now = Date.now();
    return [...(this.typing.get(channel) ?? [])].filter(([, until]) => until > now).map(([id]) => this.name(id, channel));
  }

  /** @param {Message} message */
  created(message) {
    this.users.set(message.author.id, { ...this.users.get(message.author.id), ...message.author });
    this.typing.get(message.channel_id)?.delete(message.author.id);
    const talk = this.talk(message.channel_id);
    if (talk.loaded) this.add(talk, [message]);
    const channel = this.channels.get(message.channel_id);
    if (channel) channel.last_message_id = message.id;
    if (message.author.id === this.me?.id) this.read(message.channel_id, message.id);
    else if (later(message.id, this.mark(message.channel_id).read)) {
      const mark = this.mark(message.channel_id);
      mark.count += 1;
      if (this.mentions(message)) mark.mentions += 1;
      this.tell("unread", message.channel_id);
    }
    this.tell("typing", message.channel_id);
    this.tell("messages", message.channel_id);
    this.tell("created", message);
  }

  /** @param {Message} message @returns {boolean} whether it is for this user above all */
  mentions(message) {
    return (
      this.channels.get(message.channel_id)?.type === DM ||
      message.mention_everyone ||
      message.mentions?.some((/** @type {any} */ user) => user.id === this.me?.id) ||
      message.mention_roles?.some((/** @type {string} */ role) => this.myRoles(message.guild_id).includes(role))
    );
  }

  /** @param {string | undefined} guild @returns {string[]} */
  myRoles(guild) {
    return this.guilds.get(guild ?? "")?.members.get(this.me?.id)?.roles ?? [];
  }

  /**
   * Messages of a channel's history.
   * @param {string} channel
   * @param {Message[]} messages in any order
   */
  loaded(channel, messages) {
    for (const message of messages) this.users.set(message.author.id, { ...message.author, ...this.users.get(message.author.id) });
    this.add(this.talk(channel), messages);
    this.tell("messages", channel);
  }

  /** @param {Talk} talk @param {Message[]} messages */
  add(talk, messages) {
    const list = talk.messages;
    for (const message of messages) {
      const last = list[list.length - 1];
      if (!last || later(message.id, last.id)) list.push(message);
      else {
        const at = place(list, message.id);
        if (list[at]?.id === message.id) list[at] = message;
        else list.splice(at, 0, message);
      }
    }
    if (list.length > MOST_KEPT) {
      list.splice(0, list.length - MOST_KEPT);
      talk.begins = false;
    }
  }

  /** @param {string} channel @param {string} id @param {(message: Message) => Message} change */
  edit(channel, id, change) {
    const list = this.talk(channel).messages;
    const at = place(list, id);
    const message = list[at];
    if (message?.id !== id) return;
    list[at] = change(message);
    this.tell("messages", channel);
  }

  /** @param {string} channel @param {Set<string>} ids */
  removed(channel, ids) {
    const talk = this.talk(channel);
    talk.messages = talk.messages.filter((message) => !ids.has(message.id));
    this.tell("messages", channel);
  }

  /** @param {any} d @param {1 | -1} by */
  react(d, by) {
    const mine = d.user_id === this.me?.id;
    this.edit(d.channel_id, d.message_id, (message) => {
      const reactions = (message.reactions ?? []).map((/** @type {any} */ one) => ({ ...one }));
      let found = reactions.find((/** @type {any} */ one) => emojiKey(one.emoji) === emojiKey(d.emoji));
      if (!found) reactions.push((found = { emoji: d.emoji, count: 0, me: false }));
      found.count += by;
      if (mine) found.me = by > 0;
      return { ...message, reactions: reactions.filter((/** @type {any} */ one) => one.count > 0) };
    });
  }

  /** @param {string} channel @returns {Talk} */
  talk(channel) {
    let talk = this.talks.get(channel);
    if (!talk) this.talks.set(channel, (talk = { messages: [], loaded: false, begins: false, loading: null }));
    return talk;
  }

  /** Events were missed: what is known of messages may have gaps. */
  forgetTalks() {
    this.talks.clear();
    this.typing.clear();
  }

  /** @param {string} channel */
  mark(channel) {
    let mark = this.unread.get(channel);
    if (!mark) this.unread.set(channel, (mark = { read: "0", count: 0, mentions: 0 }));
    return mark;
  }

  /** @param {string} channel @param {string} id of the newest message that was seen */
  read(channel, id) {
    const mark = this.mark(channel);
    if (!later(id, mark.read) && !mark.count) return;
    if (later(id, mark.read)) mark.read = id;
    mark.count = mark.mentions = 0;
    try {
      localStorage.setItem(`fanfare.read.${this.me.id}.${channel}`, mark.read);
    } catch {
      // Without storage, what was read is known until the page is closed.
    }
    this.tell("unread", channel);
  }

  readMarks() {
    const begin = `fanfare.read.${this.me.id}.`;
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(begin)) this.mark(name.slice(begin.length)).read = localStorage.getItem(name) ?? "0";
    }
  }

  /** @param {string} id @param {string} [channel] @returns {string} */
  name(id, channel = this.open) {
    const guild = this.channels.get(channel)?.guild_id;
    const user = this.users.get(id);
    return this.guilds.get(guild)?.members.get(id)?.nick || user?.global_name || user?.username || "somebody";
  }

  /** @param {any} channel @returns {string} */
  title(channel) {
    return channel.name || (channel.recipients ?? []).map((/** @type {any} */ one) => one.global_name || one.username).join(", ");
  }

  /** @param {string} guild @returns {{category: any, channels: any[]}[]} in the order in which they are shown */
  tree(guild) {
    const own = [...this.channels.values()].filter((channel) => channel.guild_id === guild);
    const order = (/** @type {any} */ a, /** @type {any} */ b) => (a.position ?? 0) - (b.position ?? 0) || (later(a.id, b.id) ? 1 : -1);
    const talked = own.filter((channel) => TALKED_IN.has(channel.type)).sort(order);
    const top = talked.filter((channel) => !this.channels.has(channel.parent_id));
    const below = (/** @type {any} */ parent) => {
      const found = talked.filter((channel) => channel.parent_id === parent.id);
      return found.flatMap((channel) => [channel, ...talked.filter((thread) => thread.parent_id === channel.id)]);
    };
    const withThreads = top.flatMap((channel) => [channel, ...talked.filter((thread) => thread.parent_id === channel.id)]);
    const categories = own.filter((channel) => channel.type === CATEGORY).sort(order);
    return [{ category: null, channels: withThreads }, ...categories.map((category) => ({ category, channels: below(category) }))];
  }

  /** @returns {any[]} */
  directs() {
    return [...this.channels.values()].filter((channel) => channel.type === DM || channel.type === 3);
  }

  /** @param {string} event @param {any} [detail] */
  tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}

/** @param {string} a @param {string} b @returns {boolean} whether a snowflake is later than another */
export function later(a, b) {
  return a.length === b.length ? a > b : a.length > b.length;
}

/** @param {any} emoji @returns {string} */
export function emojiKey(emoji) {
  return emoji.id ? `${emoji.name}:${emoji.id}` : emoji.name;
}

/** @param {string} id @returns {number} when it was made, ms since 1970 */
export function madeAt(id) {
  return Number(BigInt(id) >> 22n) + 1_420_070_400_000;
}

/** @param {Message[]} list @param {string} id @returns {number} where it is or belongs */
function place(list, id) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (later(id, list[middle].id)) low = middle + 1;
    else high = middle;
  }
  return low;
}
