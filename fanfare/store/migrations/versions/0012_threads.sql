-- A thread is a channel (type 10, 11 or 12) whose parent_id is the channel that it is in.
ALTER TABLE channels
    ADD COLUMN owner_id     bigint,
    ADD COLUMN made_at      timestamptz,
    ADD COLUMN archived     boolean NOT NULL DEFAULT false,
    ADD COLUMN changed_at   timestamptz,
    ADD COLUMN auto_archive integer NOT NULL DEFAULT 1440,
    ADD COLUMN locked       boolean NOT NULL DEFAULT false,
    ADD COLUMN invitable    boolean NOT NULL DEFAULT true,
    ADD CHECK ((type IN (10, 11, 12)) = (made_at IS NOT NULL) AND (made_at IS NULL) = (changed_at IS NULL));

-- A guild's archived threads grow without end, so they are left out where the guild is read.
DROP INDEX channels_by_guild;
CREATE INDEX channels_open ON channels (guild_id) WHERE NOT archived;
CREATE INDEX channels_archived ON channels (guild_id, changed_at) WHERE archived;
CREATE INDEX channels_threads ON channels (parent_id, changed_at) WHERE type IN (10, 11, 12);
CREATE INDEX channels_open_threads ON channels (changed_at) WHERE type IN (10, 11, 12) AND NOT archived;

CREATE TABLE thread_members (
    thread_id bigint NOT NULL REFERENCES channels ON DELETE CASCADE,
    user_id   bigint NOT NULL REFERENCES users,
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (thread_id, user_id)
);
CREATE INDEX thread_members_by_user ON thread_members (user_id);
