-- What applications have registered; guild_id 0: everywhere. `version` is new with each change.
CREATE TABLE commands (
    id             bigint PRIMARY KEY,
    application_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    guild_id       bigint NOT NULL,
    type           smallint NOT NULL,
    name           text NOT NULL,
    version        bigint NOT NULL,
    body           bytea NOT NULL,
    UNIQUE (application_id, guild_id, type, name)
);
