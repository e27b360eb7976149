-- A change was told: it is settled if what was told is still true.
-- KEYS: hash; untold. ARGV: field, what was told ('' for nothing there), the change, now (ms)
-- Answers 1, or 0 where it has to be told again.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') == ARGV[2] then
    redis.call('ZREM', KEYS[2], ARGV[3])
    return 1
end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
return 0
