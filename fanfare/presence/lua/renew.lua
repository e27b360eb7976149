-- Renew an inbox and the lease of its node; refuses if the inbox is gone.
-- KEYS: inbox stream, its `at` hash, the node's lease
-- ARGV: inbox TTL (ms), lease TTL (ms), inbox name
if redis.call('EXISTS', KEYS[1], KEYS[2]) < 2 then return 'gone' end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[2])
return 'ok'
