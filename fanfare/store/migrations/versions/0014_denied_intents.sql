-- Privileged intents that an application must not ask for.
ALTER TABLE users ADD COLUMN denied_intents bigint NOT NULL DEFAULT 0;
