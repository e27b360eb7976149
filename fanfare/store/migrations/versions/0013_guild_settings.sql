-- What PATCH /guilds/{guild} sets besides name and owner, named as clients see it; what is absent is as it always was.
ALTER TABLE guilds ADD COLUMN settings jsonb NOT NULL DEFAULT '{}';

CREATE TABLE emojis (
    id       bigint PRIMARY KEY,
    guild_id bigint NOT NULL REFERENCES guilds ON DELETE CASCADE,
    name     text NOT NULL,
    animated boolean NOT NULL,
    user_id  bigint NOT NULL REFERENCES users
);
CREATE INDEX emojis_by_guild ON emojis (guild_id);

-- When somebody was last online, to within an hour: members who have been away for long may be pruned.
ALTER TABLE users ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now();
