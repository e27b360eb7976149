-- Note a reaction that the database may not have yet; goes only forward in the log.
-- KEYS: reactions of a channel (hash), nonces:ready
-- ARGV: `<message>:<user>:<emoji>`, Kafka offset, '1' (there) or '0' (gone), cap, TTL (ms)
-- Answers 1; 0 if that or something newer is known; -1 if there is no room: it is seen once it is in the database.
-- As in recent_put.
local ready = redis.call('GET', KEYS[2]) or ''
if redis.call('HGET', KEYS[1], 'under') ~= ready then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'under', ready)
end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and tonumber(string.match(known, '^%d+')) >= tonumber(ARGV[2]) then return 0 end
if not known and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
