// discord.js.
import { createInterface } from "node:readline";
import {
  ActionRowBuilder, AttachmentBuilder, ButtonBuilder, ButtonStyle, Client, DiscordAPIError, Events, GatewayIntentBits,
  Partials, SlashCommandBuilder,
} from "discord.js";

const tell = (said) => process.stdout.write(JSON.stringify(said) + "\n");
const client = new Client({
  intents: Object.values(GatewayIntentBits).filter((one) => typeof one === "number"),
  partials: Object.values(Partials).filter((one) => typeof one === "number"),
  rest: { api: process.env.FANFARE_API.replace(/\/v10$/, "") },
});

const channelOf = (id) => client.channels.fetch(id);
const messageOf = async (channel, message) => (await channelOf(channel)).messages.fetch(message);

const does = {
  send: async ({ channel, content }) => ({ id: (await (await channelOf(channel)).send(content)).id }),
  edit: async ({ channel, message, content }) => { await (await messageOf(channel, message)).edit(content); },
  delete: async ({ channel, message }) => { await (await messageOf(channel, message)).delete(); },
  react: async ({ channel, message, emoji }) => { await (await messageOf(channel, message)).react(emoji); },
  file: async ({ channel, name, text }) => {
    const sent = await (await channelOf(channel)).send({ files: [new AttachmentBuilder(Buffer.from(text), { name })] });
    return { id: sent.id, url: sent.attachments.first().url };
  },
  reply: async ({ channel, message, content }) => ({ id: (await (await messageOf(channel, message)).reply(content)).id }),
  dm: async ({ user, content }) => {
    const sent = await (await client.users.fetch(user)).send(content);
    return { id: sent.id, channel: sent.channelId };
  },
  thread: async ({ channel, message, name, content }) => {
    const thread = await (await messageOf(channel, message)).startThread({ name });
    return { id: thread.id, said: (await thread.send(content)).id };
  },
  typing: async ({ channel }) => { await (await channelOf(channel)).sendTyping(); },
  timeout: async ({ guild, user, seconds }) => {
    await (await client.guilds.cache.get(guild).members.fetch(user)).timeout(seconds * 1000);
  },
  ban: async ({ guild, user }) => { await client.guilds.cache.get(guild).bans.create(user, { reason: "a test" }); },
  webhook: async ({ channel, name, content }) => {
    const webhook = await (await channelOf(channel)).createWebhook({ name });
    const sent = await webhook.send(content);
    await webhook.delete();
    return { id: sent.id };
  },
  emoji: async ({ guild, name }) => {
    const attachment = Buffer.from("\x89PNG\r\n\x1a\n and so on", "latin1");
    return { id: (await client.guilds.cache.get(guild).emojis.create({ attachment, name })).id };
  },
  status: async ({ status, game }) => { client.user.setPresence({ status, activities: [{ name: game }] }); },
  connect: async ({ guild, channel }) => {
    const d = { guild_id: guild, channel_id: channel, self_mute: false, self_deaf: false };
    client.guilds.cache.get(guild).shard.send({ op: 4, d });
  },
  burst: async ({ channel, count }) => {
    const where = await channelOf(channel);
    const sent = await Promise.all(Array.from({ length: count }, (_, number) => where.send(`burst ${number}`)));
    return { ids: sent.map((one) => one.id) };
  },
  commands: async ({ guild }) => {
    const ping = new SlashCommandBuilder().setName("ping").setDescription("Answers");
    ping.addIntegerOption((option) => option.setName("often").setDescription("n").setRequired(true));
    await client.guilds.cache.get(guild).commands.set([ping]);
  },
};

client.once(Events.ClientReady, () => {
  const ids = (cache) => [...cache.keys()].sort();
  const guilds = {};
  for (const guild of client.guilds.cache.values()) {
    guilds[guild.id] = {
      channels: ids(guild.channels.cache), members: ids(guild.members.cache), roles: ids(guild.roles.cache),
    };
  }
  tell({ event: "ready", user: client.user.id, guilds });
  createInterface({ input: process.stdin }).on("line", async (line) => {
    const order = JSON.parse(line);
    try {
      tell({ event: "done", ...(await does[order.do](order)) });
    } catch (error) {
      if (!(error instanceof DiscordAPIError)) throw error;
      tell({ event: "done", code: error.code, why: JSON.stringify(error.rawError) });
    }
  });
});
client.on(Events.MessageCreate, (message) => {
  tell({ event: "message", id: message.id, content: message.content, author: message.author.id });
});
client.on(Events.MessageUpdate, (_, after) => tell({ event: "edited", id: after.id, content: after.content }));
client.on(Events.MessageDelete, (message) => tell({ event: "deleted", id: message.id }));
client.on(Events.MessageReactionAdd, (reaction, user) => {
  tell({ event: "reaction", id: reaction.message.id, emoji: reaction.emoji.name, user: user.id });
});
client.on(Events.TypingStart, (typing) => tell({ event: "typing", user: typing.user.id }));
client.on(Events.GuildMemberAdd, (member) => tell({ event: "joined", user: member.id }));
client.on(Events.GuildMemberRemove, (member) => tell({ event: "left", user: member.id }));
client.on(Events.GuildMemberUpdate, (_, after) => {
  tell({ event: "roles", user: after.id, roles: [...after.roles.cache.keys()].filter((id) => id !== after.guild.id) });
});
client.on(Events.PresenceUpdate, (_, after) => tell({ event: "status", user: after.userId, status: after.status }));
client.on(Events.VoiceStateUpdate, (_, after) => tell({ event: "voice", user: after.id, channel: after.channelId }));
client.on(Events.ShardResume, () => tell({ event: "resumed" }));
client.on(Events.InteractionCreate, async (interaction) => {
  if (interaction.isChatInputCommand()) {
    const button = new ButtonBuilder().setCustomId("press").setLabel("Press").setStyle(ButtonStyle.Primary);
    const components = [new ActionRowBuilder().addComponents(button)];
    await interaction.reply({ content: "pong".repeat(interaction.options.getInteger("often")), components });
  } else if (interaction.isButton()) {
    await interaction.update({ content: "pressed", components: [] });
  }
});
await client.login(process.env.FANFARE_TOKEN);
