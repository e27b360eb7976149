-- Raise the applied version of a guild, never lower it (docs/design.md, section 6).
-- KEYS: guild:{id}:applied   ARGV: version
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1])
end
return redis.call('GET', KEYS[1])
