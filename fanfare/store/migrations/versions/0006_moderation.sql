ALTER TABLE members ADD COLUMN timed_out_until timestamptz;

CREATE TABLE bans (
    guild_id bigint NOT NULL REFERENCES guilds ON DELETE CASCADE,
    user_id  bigint NOT NULL REFERENCES users,
    reason   text,
    PRIMARY KEY (guild_id, user_id)
);

-- One that is used up is deleted; one that has expired (max_age seconds, 0: never) is deleted when others are made.
CREATE TABLE invites (
    code       text PRIMARY KEY,
    guild_id   bigint NOT NULL REFERENCES guilds ON DELETE CASCADE,
    channel_id bigint NOT NULL REFERENCES channels ON DELETE CASCADE,
    inviter_id bigint NOT NULL REFERENCES users,
    made_at    timestamptz NOT NULL,
    max_age    integer NOT NULL,
    max_uses   integer NOT NULL,
    uses       integer NOT NULL DEFAULT 0
);
CREATE INDEX invites_by_guild ON invites (guild_id);
CREATE INDEX invites_by_channel ON invites (channel_id);

-- What was done to a guild by whom; kept for 45 days. `entry` is what clients see.
CREATE TABLE audit_log (
    guild_id bigint NOT NULL REFERENCES guilds ON DELETE CASCADE,
    id       bigint NOT NULL,
    user_id  bigint NOT NULL,
    action   smallint NOT NULL,
    target   bigint NOT NULL,
    entry    bytea NOT NULL,
    PRIMARY KEY (guild_id, id)
);
