-- Replace what is known of a send. Values are `<id> <channel> ?<node>:<try>` while it is under way and
-- `<id> <channel> =<offset>` once Kafka has it.
-- KEYS: the nonce
-- ARGV: new value, TTL where there is none (ms)
-- Answers the value afterwards: another one's, if that one stands earlier in the log.
local known = redis.call('GET', KEYS[1])
if known then
  local there = tonumber(string.match(known, '=(%d+)$'))
  if there and there <= tonumber(string.match(ARGV[1], '=(%d+)$')) then return known end
  redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return ARGV[1]
