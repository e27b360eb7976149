-- Geofences, as JSON of fanfare.location.geofences.Geofence.
CREATE TABLE geofences (
    id   bigint PRIMARY KEY,
    body bytea NOT NULL
);

-- What goes to app.events, written in the transaction of what it tells of; the relay deletes it when Kafka has it.
CREATE TABLE app_outbox (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record bytea NOT NULL
);
