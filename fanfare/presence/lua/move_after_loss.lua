-- Write a session's moves after its inbox was lost, unless Redis knows a newer version: then it lives elsewhere.
-- KEYS: session:{id}:moved
-- ARGV: the version that the node knows, the new value `<version> <hops>`, TTL (ms)
-- Answers 1 if it was written.
local value = redis.call('GET', KEYS[1])
if value and tonumber(string.match(value, '^%d+')) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
