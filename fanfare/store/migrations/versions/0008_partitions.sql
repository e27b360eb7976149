-- Tables that grow for ever are cut by time. The partitions of a table follow each other without a gap: `low` is the
-- first value of the column it is cut by, `high` the first one of the next partition. What is below the lowest `low`
-- was dropped by retention. The first partition begins at the lowest bigint.
CREATE TABLE partitions (
    parent text NOT NULL,
    name   text PRIMARY KEY,
    low    bigint NOT NULL,
    high   bigint NOT NULL
);

-- Whose data is not kept: what this user wrote or sent up to a time, as ids and as ms since 1970, was deleted, and is
-- not archived again when the log is read once more.
CREATE TABLE forgotten (
    user_id bigint PRIMARY KEY,
    upto_ms bigint NOT NULL
);

-- Where a moment stands in the column by which a table is cut: ids hold the time since 2015 in their upper bits.
CREATE FUNCTION partition_value(parent text, at timestamp) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE parent
        WHEN 'messages' THEN (round(extract(epoch FROM at) * 1000)::bigint - 1420070400000) << 22
        ELSE round(extract(epoch FROM at) * 1000)::bigint
    END
$$;

CREATE FUNCTION partition_time(parent text, value bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$
    SELECT timestamp '1970-01-01' + interval '1 millisecond' * CASE parent
        WHEN 'messages' THEN (value >> 22) + 1420070400000
        ELSE value
    END
$$;

-- Makes partitions until there is one for a moment: of a month of messages, of a day of anything else. Where nobody
-- made any for long, one partition covers the time since. Times are UTC. Returns how many it made.
CREATE FUNCTION make_partitions(wanted text, upto timestamp) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    unit text := CASE wanted WHEN 'messages' THEN 'month' ELSE 'day' END;
    top bigint;
    begins timestamp;
    ends timestamp;
    named text;
    made integer := 0;
BEGIN
    LOCK TABLE partitions IN SHARE ROW EXCLUSIVE MODE;
    LOOP
        SELECT max(high) INTO STRICT top FROM partitions WHERE parent = wanted;
        begins := partition_time(wanted, top);
        EXIT WHEN top IS NULL OR begins > upto OR made = 1000;
        ends := greatest(begins + ('1 ' || unit)::interval, date_trunc(unit, least(upto, now() AT TIME ZONE 'UTC')));
        named := format('%s_%s', wanted, to_char(begins, 'YYYYMMDD'));
        EXECUTE format('CREATE TABLE %I (LIKE %I)', named, wanted);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            wanted, named, top, partition_value(wanted, ends));
        INSERT INTO partitions VALUES (wanted, named, top, partition_value(wanted, ends));
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

-- Drops the partitions that end before a moment, but never the newest one. Returns how many.
CREATE FUNCTION drop_partitions(wanted text, before timestamp) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    each record;
    dropped integer := 0;
BEGIN
    LOCK TABLE partitions IN SHARE ROW EXCLUSIVE MODE;
    FOR each IN
        SELECT name FROM partitions p WHERE p.parent = wanted AND p.high <= partition_value(wanted, before)
        AND p.high < (SELECT max(q.high) FROM partitions q WHERE q.parent = wanted) ORDER BY p.high
    LOOP
        EXECUTE format('DROP TABLE %I', each.name);
        DELETE FROM partitions WHERE name = each.name;
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

-- The words of a message, for the index below. It never fails: whatever was in the log has to get into the table.
CREATE FUNCTION message_words(body bytea) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF length(body) = 0 THEN
        RETURN ''::tsvector;
    END IF;
    RETURN to_tsvector('pg_catalog.simple', coalesce(convert_from(body, 'UTF8')::json ->> 'content', ''));
EXCEPTION WHEN OTHERS THEN
    RETURN ''::tsvector;
END
$$;

-- The table with all rows so far becomes the first partition; nothing is copied.
ALTER TABLE messages RENAME TO messages_first;
ALTER INDEX messages_pkey RENAME TO messages_first_pkey;
ALTER INDEX messages_by_nonce RENAME TO messages_first_by_nonce;
CREATE TABLE messages (LIKE messages_first) PARTITION BY RANGE (id);
ALTER TABLE messages ADD PRIMARY KEY (channel_id, id);
CREATE INDEX messages_by_nonce ON messages (channel_id, author_id, nonce) WHERE nonce <> '';
CREATE INDEX messages_by_author ON messages (author_id, id);
CREATE INDEX messages_by_words ON messages USING gin (message_words(body));

DO $$
DECLARE
    month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    top bigint;
BEGIN
    IF EXISTS (SELECT FROM messages_first) THEN
        month := month + interval '1 month';
    END IF;
    top := partition_value('messages', month);
    -- Ids of a time to come, which no gateway makes: they would keep the first partition open for ever.
    IF EXISTS (SELECT FROM messages_first WHERE id >= top) THEN
        CREATE TABLE messages_stray (LIKE messages_first INCLUDING ALL);
        INSERT INTO messages_stray SELECT * FROM messages_first WHERE id >= top;
        DELETE FROM messages_first WHERE id >= top;
    END IF;
    EXECUTE format('ALTER TABLE messages ATTACH PARTITION messages_first FOR VALUES FROM (MINVALUE) TO (%s)', top);
    INSERT INTO partitions VALUES ('messages', 'messages_first', (-9223372036854775808)::bigint, top);
    PERFORM make_partitions('messages', (now() AT TIME ZONE 'UTC') + interval '1 month');
END
$$;

-- Projection of location.events: every position of every entity, once: by its time, and its number where there is one.
ALTER TABLE positions RENAME TO positions_before;
ALTER INDEX positions_pkey RENAME TO positions_before_pkey;
CREATE TABLE positions (
    entity_id   bigint NOT NULL,
    at_ms       bigint NOT NULL,
    seq         bigint NOT NULL,
    author_id   bigint NOT NULL,
    lat         double precision NOT NULL,
    lon         double precision NOT NULL,
    accuracy_m  real,
    heading_deg real,
    speed_mps   real,
    PRIMARY KEY (entity_id, at_ms, seq)
) PARTITION BY RANGE (at_ms);

CREATE FUNCTION pg_temp.number(body bytea, key text) RETURNS double precision LANGUAGE plpgsql AS $$
BEGIN
    RETURN (convert_from(body, 'UTF8')::json ->> key)::double precision;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;

-- Of the rows so far, those that say where move over; others stay in positions_before.
DO $$
DECLARE
    day timestamp := date_trunc('day', now() AT TIME ZONE 'UTC');
    top bigint;
BEGIN
    top := partition_value('positions', day);
    EXECUTE format('CREATE TABLE positions_first PARTITION OF positions FOR VALUES FROM (MINVALUE) TO (%s)', top);
    INSERT INTO partitions VALUES ('positions', 'positions_first', (-9223372036854775808)::bigint, top);
    PERFORM make_partitions('positions', (now() AT TIME ZONE 'UTC') + interval '3 days');
    WITH moved AS (
        DELETE FROM positions_before WHERE pg_temp.number(body, 'lat') IS NOT NULL
        AND pg_temp.number(body, 'lon') IS NOT NULL
        AND at_ms < (SELECT max(high) FROM partitions WHERE parent = 'positions') RETURNING *
    )
    INSERT INTO positions SELECT channel_id, at_ms, row_number() OVER (PARTITION BY channel_id, at_ms ORDER BY id) - 1,
        author_id, pg_temp.number(body, 'lat'), pg_temp.number(body, 'lon'), pg_temp.number(body, 'accuracy_m'),
        pg_temp.number(body, 'heading_deg'), pg_temp.number(body, 'speed_mps')
    FROM moved;
    IF NOT EXISTS (SELECT FROM positions_before) THEN
        DROP TABLE positions_before;
    END IF;
END
$$;
DROP FUNCTION pg_temp.number(bytea, text);

-- Functions that run with their owner's rights look for tables in this schema alone. Each may be called by its owner,
-- and by whom it is granted to.
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN SELECT unnest(ARRAY['make_partitions', 'drop_partitions']) AS name LOOP
        EXECUTE format('ALTER FUNCTION %I(text, timestamp) SET search_path = %I, pg_temp', each.name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %I(text, timestamp) FROM PUBLIC', each.name);
    END LOOP;
END
$$;

-- Who wrote messages or read them may do the same here; who wrote may make and drop partitions.
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'messages_first' AND grantee NOT IN (current_user, 'PUBLIC')
    LOOP
        EXECUTE format('GRANT %s ON messages TO %I', each.privilege_type, each.grantee);
        IF each.privilege_type = 'SELECT' THEN
            EXECUTE format('GRANT SELECT ON positions TO %I', each.grantee);
        ELSIF each.privilege_type = 'INSERT' THEN
            EXECUTE format('GRANT INSERT ON positions TO %I', each.grantee);
            EXECUTE format('GRANT SELECT ON partitions, forgotten TO %I', each.grantee);
            EXECUTE format('GRANT EXECUTE ON FUNCTION make_partitions(text, timestamp) TO %I', each.grantee);
            EXECUTE format('GRANT EXECUTE ON FUNCTION drop_partitions(text, timestamp) TO %I', each.grantee);
        END IF;
    END LOOP;
END
$$;
