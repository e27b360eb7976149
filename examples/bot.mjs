// A bot for discord.js: a command with options, buttons, a dialogue, a file, and reactions that vote.
//
//     npm install discord.js
//     FANFARE_API=http://127.0.0.1:8080/api/v10 FANFARE_TOKEN=... node examples/bot.mjs
//
// `make run` prints the address and the token of a bot.

import {
  ActionRowBuilder, AttachmentBuilder, ButtonBuilder, ButtonStyle, Client, Events, GatewayIntentBits, MessageFlags,
  ModalBuilder, Partials, SlashCommandBuilder, TextInputBuilder, TextInputStyle,
} from "discord.js";

const UP = "👍";
const DOWN = "👎";

const commands = [
  new SlashCommandBuilder()
    .setName("hello")
    .setDescription("Says hello")
    .addUserOption((option) => option.setName("whom").setDescription("who is greeted").setRequired(true))
    .addIntegerOption((option) => option.setName("often").setDescription("how often").setMinValue(1).setMaxValue(3)),
  new SlashCommandBuilder().setName("buttons").setDescription("A message with buttons"),
  new SlashCommandBuilder()
    .setName("vote")
    .setDescription("Asks for votes by reactions")
    .addStringOption((option) => option.setName("question").setDescription("what is asked").setRequired(true)),
  new SlashCommandBuilder()
    .setName("note")
    .setDescription("Words in a file")
    .addStringOption((option) => option.setName("words").setDescription("what stands in it").setRequired(true)),
];

const buttons = [
  new ActionRowBuilder().addComponents(
    new ButtonBuilder().setCustomId("count").setLabel("Count").setStyle(ButtonStyle.Primary),
    new ButtonBuilder().setCustomId("say").setLabel("Say something").setStyle(ButtonStyle.Secondary),
  ),
];

const feedback = new ModalBuilder()
  .setCustomId("feedback")
  .setTitle("What do you think?")
  .addComponents(
    new ActionRowBuilder().addComponents(
      new TextInputBuilder().setCustomId("words").setLabel("In a few words").setMaxLength(200).setStyle(TextInputStyle.Short),
    ),
  );

// Each answers a command.
const does = {
  async hello(interaction) {
    // As a bot does that has to work for its answer.
    await interaction.deferReply();
    const hello = `Hello ${interaction.options.getUser("whom")}!`;
    await interaction.editReply(Array(interaction.options.getInteger("often") ?? 1).fill(hello).join(" "));
  },
  async buttons(interaction) {
    await interaction.reply({ content: "Pressed 0 times.", components: buttons });
  },
  async vote(interaction) {
    await interaction.reply(interaction.options.getString("question"));
    const message = await interaction.fetchReply();
    await message.react(UP);
    await message.react(DOWN);
  },
  async note(interaction) {
    const words = Buffer.from(interaction.options.getString("words"));
    await interaction.reply({ files: [new AttachmentBuilder(words, { name: "note.txt" })] });
  },
};

let count = 0;
const client = new Client({
  intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.GuildMessageReactions],
  partials: [Partials.Message, Partials.Reaction, Partials.User],
  // The library adds the version.
  rest: { api: process.env.FANFARE_API.replace(/\/v10$/, "") },
});

client.on(Events.InteractionCreate, async (interaction) => {
  if (interaction.isChatInputCommand()) await does[interaction.commandName](interaction);
  else if (interaction.isButton() && interaction.customId === "count") {
    await interaction.update(`Pressed ${(count += 1)} times.`);
  } else if (interaction.isButton()) await interaction.showModal(feedback);
  else if (interaction.isModalSubmit()) {
    const content = `Thank you for “${interaction.fields.getTextInputValue("words")}”.`;
    await interaction.reply({ content, flags: MessageFlags.Ephemeral });
  }
});

client.on(Events.MessageReactionAdd, async (reaction, user) => {
  const message = await reaction.message.fetch();
  if (user.id === client.user.id || message.author.id !== client.user.id) return;
  const votes = (emoji) => {
    const found = message.reactions.resolve(emoji);
    return found ? found.count - Number(found.me) : 0;
  };
  await message.reply({ content: `${votes(UP)} for it, ${votes(DOWN)} against.`, allowedMentions: { repliedUser: false } });
});

client.once(Events.ClientReady, async () => {
  await client.application.commands.set(commands);
  console.log(`${client.user.username} is ready`);
});
await client.login(process.env.FANFARE_TOKEN);
