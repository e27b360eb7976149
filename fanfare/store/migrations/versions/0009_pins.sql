-- Few messages are pinned, so the index is small; what it holds is looked at again (a reply shows a pinned message, too).
CREATE INDEX messages_pinned ON messages (channel_id, id) WHERE position('"pinned":true'::bytea in body) > 0;
