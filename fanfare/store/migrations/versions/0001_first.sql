CREATE TABLE users (
    id          bigint PRIMARY KEY,
    username    text NOT NULL,
    global_name text,
    bot         boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX users_by_name ON users (lower(username) text_pattern_ops);

-- `version` grows by one with every change of anything in the guild; who changes something locks this row first.
CREATE TABLE guilds (
    id           bigint PRIMARY KEY,
    name         text NOT NULL,
    owner_id     bigint NOT NULL REFERENCES users,
    version      bigint NOT NULL DEFAULT 0,
    member_count integer NOT NULL DEFAULT 0
);

CREATE TABLE roles (
    id          bigint PRIMARY KEY,
    guild_id    bigint NOT NULL REFERENCES guilds ON DELETE CASCADE,
    name        text NOT NULL,
    permissions bigint NOT NULL,
    position    integer NOT NULL DEFAULT 0,
    color       integer NOT NULL DEFAULT 0,
    hoist       boolean NOT NULL DEFAULT false,
    mentionable boolean NOT NULL DEFAULT false,
    managed     boolean NOT NULL DEFAULT false
);
CREATE INDEX roles_by_guild ON roles (guild_id);

CREATE TABLE members (
    guild_id  bigint NOT NULL REFERENCES guilds ON DELETE CASCADE,
    user_id   bigint NOT NULL REFERENCES users,
    nick      text,
    roles     bigint[] NOT NULL DEFAULT '{}',
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (guild_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

-- A channel of a guild, or a direct conversation (guild_id NULL) of dm_low and dm_high.
CREATE TABLE channels (
    id                  bigint PRIMARY KEY,
    guild_id            bigint REFERENCES guilds ON DELETE CASCADE,
    type                smallint NOT NULL,
    name                text NOT NULL DEFAULT '',
    topic               text,
    position            integer NOT NULL DEFAULT 0,
    parent_id           bigint NOT NULL DEFAULT 0,
    nsfw                boolean NOT NULL DEFAULT false,
    rate_limit_per_user integer NOT NULL DEFAULT 0,
    dm_low              bigint REFERENCES users,
    dm_high             bigint REFERENCES users,
    CHECK ((guild_id IS NULL) = (dm_low IS NOT NULL) AND (dm_low IS NULL) = (dm_high IS NULL) AND dm_low < dm_high)
);
CREATE INDEX channels_by_guild ON channels (guild_id);
CREATE UNIQUE INDEX channels_dm ON channels (dm_low, dm_high);
CREATE INDEX channels_dm_high ON channels (dm_high);

CREATE TABLE overwrites (
    channel_id bigint NOT NULL REFERENCES channels ON DELETE CASCADE,
    target_id  bigint NOT NULL,
    type       smallint NOT NULL,
    allow      bigint NOT NULL,
    deny       bigint NOT NULL,
    PRIMARY KEY (channel_id, target_id)
);

-- Written in the transaction of a change, relayed to guild.events, then deleted.
CREATE TABLE outbox (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guild_id bigint NOT NULL,
    record   bytea NOT NULL
);

-- Projection of chat.events, written by the archiver only. `version` is the Kafka offset of what the row shows; a
-- deleted message stays as a row without a body, so that a replay does not bring it back.
CREATE TABLE messages (
    channel_id bigint NOT NULL,
    id         bigint NOT NULL,
    author_id  bigint NOT NULL,
    nonce      bytea NOT NULL,
    version    bigint NOT NULL,
    deleted    boolean NOT NULL,
    body       bytea NOT NULL,
    PRIMARY KEY (channel_id, id)
);
CREATE INDEX messages_by_nonce ON messages (channel_id, author_id, nonce) WHERE nonce <> '';

-- Projection of location.events: every position of every tracked entity, each of which is a channel.
CREATE TABLE positions (
    channel_id bigint NOT NULL,
    id         bigint NOT NULL,
    author_id  bigint NOT NULL,
    at_ms      bigint NOT NULL,
    body       bytea NOT NULL,
    PRIMARY KEY (channel_id, id)
);

-- Ids of the demo's things by name, noted before they are made, and `done` after that: it is made once.
CREATE TABLE demo (
    name text PRIMARY KEY,
    id   bigint NOT NULL
);
