-- Whoever has the token of a webhook may say something in its channel.
CREATE TABLE webhooks (
    id             bigint PRIMARY KEY,
    guild_id       bigint NOT NULL REFERENCES guilds ON DELETE CASCADE,
    channel_id     bigint NOT NULL REFERENCES channels ON DELETE CASCADE,
    user_id        bigint NOT NULL,
    application_id bigint NOT NULL,
    name           text NOT NULL,
    token          text NOT NULL
);
CREATE INDEX webhooks_channel ON webhooks (channel_id);
CREATE INDEX webhooks_guild ON webhooks (guild_id);
