/** Loads messages that came before: the newest of a channel, and older ones as one scrolls. */

import { later } from "./state.js";

const PAGE = 100;
const MOST_PAGES = 50;

export class History {
  /** @param {import("./state.js").State} state @param {import("./rest.js").Rest} rest */
  constructor(state, rest) {
    this.state = state;
    this.rest = rest;
  }

  /** @param {string} channel */
  async newest(channel) {
    const talk = this.state.talk(channel);
    if (talk.loaded || !channel) return;
    // What comes from now on is kept; so nothing can fall between the two.
    talk.loaded = true;
    try {
      await this.page(channel, "");
    } catch (error) {
      talk.loaded = false;
      throw error;
    }
  }

  /** @param {string} channel */
  async older(channel) {
    const talk = this.state.talk(channel);
    if (!talk.loaded || talk.begins || talk.loading || !talk.messages.length) return;
    talk.loading = this.page(channel, `&before=${talk.messages[0].id}`);
    try {
      await talk.loading;
    } finally {
      talk.loading = null;
    }
  }

  /**
   * Load older messages until there is one, or it would be very many.
   * @param {string} channel @param {string} id @returns {Promise<boolean>} whether it is there
   */
  async until(channel, id) {
    await this.newest(channel);
    const talk = this.state.talk(channel);
    for (let pages = 0; pages < MOST_PAGES; pages += 1) {
      if (talk.messages.some((message) => message.id === id)) return true;
      const first = talk.messages[0];
      // What is said to be loaded may still be on its way.
      if (first && (talk.begins || !later(first.id, id))) return false;
      if (first) await this.older(channel);
      if (talk.loading) await talk.loading;
      else if (!first) await new Promise((done) => setTimeout(done, 50));
    }
    return false;
  }

  /** @param {string} channel @param {string} where */
  async page(channel, where) {
    const talk = this.state.talk(channel);
    const found = await this.rest.ask("GET", `/channels/${channel}/messages?limit=${PAGE}${where}`);
    if (found.length < PAGE) talk.begins = true;
    this.state.loaded(channel, found);
  }
}
