-- Projection of chat.events, written by the archiver only. `version` is the Kafka offset of what the row shows. A
-- reaction that was taken away stays as a row, so that a replay does not bring it back.
CREATE TABLE reactions (
    channel_id bigint NOT NULL,
    message_id bigint NOT NULL,
    emoji      text NOT NULL,
    user_id    bigint NOT NULL,
    version    bigint NOT NULL,
    present    boolean NOT NULL,
    PRIMARY KEY (channel_id, message_id, emoji, user_id)
);
