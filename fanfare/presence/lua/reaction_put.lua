-- Note a reaction that the database may not have yet; goes only forward in the log.
-- KEYS: as of recent_put
-- ARGV: `<message>:<user>:<emoji>`, Kafka offset, '1' (there) or '0' (gone), cap, TTL (ms)
-- Answers 1; 0 if that or something newer is known; -1 if there is no room: it is seen once it is in the database.
local known = redis.call('HGET', KEYS[3], ARGV[1])
if known and tonumber(string.match(known, '^%d+')) >= tonumber(ARGV[2]) then return 0 end
if not known and redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[4]) then return -1 end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return 1
