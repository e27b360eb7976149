-- Files that are to be removed at a time: what was stored for a message that is not archived yet, and what a message that
-- was edited or deleted has lost. A file that a message has stands only in the message.
CREATE TABLE files (
    path text PRIMARY KEY,
    due  timestamptz NOT NULL
);
CREATE INDEX files_due ON files (due);
