-- Write a session's moves if nobody else has since (compare-and-set on the version).
-- KEYS: session:{id}:moved
-- ARGV: the version expected (0: none), the new value `<version> <hops>`, TTL (ms)
-- Answers 1 if it was written.
local value = redis.call('GET', KEYS[1])
local version = value and string.match(value, '^%d+') or '0'
if version ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
