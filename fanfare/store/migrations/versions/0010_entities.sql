-- What moves, as JSON of fanfare.location.entity.Entity. `follows` is in the body, too.
CREATE TABLE entities (
    id      bigint PRIMARY KEY,
    version bigint NOT NULL,
    follows bigint NOT NULL,
    ended   boolean NOT NULL,
    body    bytea NOT NULL
);
CREATE INDEX entities_follows ON entities (follows) WHERE follows <> 0;

-- Devices that know no tokens: the key, hashed, and for whom and what it publishes.
CREATE TABLE devices (
    key       bytea PRIMARY KEY,
    entity_id bigint NOT NULL REFERENCES entities ON DELETE CASCADE,
    user_id   bigint NOT NULL
);
CREATE INDEX devices_entity ON devices (entity_id);
