-- Which generation of a user's tokens counts: revoking raises it, and each token carries the one it was issued under.
ALTER TABLE users ADD COLUMN token_generation integer NOT NULL DEFAULT 0;

-- For a gateway that starts: it reads them all.
CREATE INDEX users_revoked ON users (id) WHERE token_generation > 0;
