-- Note for each send that it comes first, where nothing is noted yet.
-- KEYS: one for each send   ARGV: TTL (s), then the value of each
-- Answers what stood there before, '' where nothing did.
local found = {}
for i, key in ipairs(KEYS) do
  found[i] = redis.call('SET', key, ARGV[i + 1], 'NX', 'GET', 'EX', ARGV[1]) or ''
end
return found
