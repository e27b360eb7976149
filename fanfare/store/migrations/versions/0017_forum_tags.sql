-- Of a forum, the tags that its threads may have, as JSON of fanfare.model.Tag; of a thread, the ids of those it has.
ALTER TABLE channels ADD COLUMN tags jsonb NOT NULL DEFAULT '[]';
