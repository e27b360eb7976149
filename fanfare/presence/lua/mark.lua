-- Append a marker to an inbox.
-- KEYS: inbox stream, its `at` hash
-- ARGV: time zero of s (ms), marker
-- Answers its `s`, or 'gone'.
local last = tonumber(redis.call('HGET', KEYS[2], 's'))
if not last or redis.call('EXISTS', KEYS[1]) == 0 then return 'gone' end
local s = string.format('%.0f', math.max(last + 1, s_now(ARGV[1])))
redis.call('XADD', KEYS[1], s .. '-0', 'm', ARGV[2])
redis.call('HSET', KEYS[2], 's', s)
return s
