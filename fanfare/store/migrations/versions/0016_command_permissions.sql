-- Who may use a command in a guild, and where: JSON of a list of {id, type, permission}. target_id is a command, or the
-- application: then it is for all its commands for which nothing is said.
CREATE TABLE command_permissions (
    guild_id       bigint NOT NULL REFERENCES guilds ON DELETE CASCADE,
    application_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    target_id      bigint NOT NULL,
    body           bytea NOT NULL,
    PRIMARY KEY (guild_id, application_id, target_id)
);
