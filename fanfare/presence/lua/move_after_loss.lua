-- Write a session's moves as its node knows them, unless Redis knows a newer version: then it lives elsewhere.
-- KEYS: session:{id}:moved, moves:{id}
-- ARGV: the version that the node knows, the new version, the new value `<version> <hops>`, TTL (ms)
-- Answers 1 if they were written.
local value, count = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local version = math.max(tonumber(value and string.match(value, '^%d+') or '0'), tonumber(count or '0'))
if version > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
return 1
