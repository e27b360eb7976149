-- Make an inbox. Its first `s` is above the floor given and not below Redis's clock.
-- KEYS: inbox stream, its `at` hash, the node's lease
-- ARGV: time zero of s (ms), floor, loss token, inbox TTL (ms), lease TTL (ms), inbox name, open ('1' or '0'),
--       then fields of `at` in pairs
-- Answers the first `s`.
local s = string.format('%.0f', math.max(tonumber(ARGV[2]) + 1, s_now(ARGV[1])))
redis.call('XADD', KEYS[1], s .. '-0', 'm', 'START')
redis.call('HSET', KEYS[2], 's', s, 'token', ARGV[3], 'open', ARGV[7])
for i = 8, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('SET', KEYS[3], ARGV[6], 'PX', ARGV[5])
return s
