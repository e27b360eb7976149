-- Raise an inbox: append a filler above the floor given, the inbox's last `s` and Redis's clock, and leave a gap below it.
-- KEYS: inbox stream, its `at` hash
-- ARGV: time zero of s (ms), floor, gap
-- Answers the filler's `s`, or 'gone'.
local last = tonumber(redis.call('HGET', KEYS[2], 's'))
if not last or redis.call('EXISTS', KEYS[1]) == 0 then return 'gone' end
local s = string.format('%.0f', math.max(last + 1, tonumber(ARGV[2]) + 1, s_now(ARGV[1])) + tonumber(ARGV[3]))
redis.call('XADD', KEYS[1], s .. '-0', 'm', 'RAISE')
redis.call('HSET', KEYS[2], 's', s)
return s
