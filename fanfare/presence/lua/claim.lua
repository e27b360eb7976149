-- Note for each send that it comes first, unless another one is noted; note none if Redis has lost writes.
-- KEYS: nonces:ready, then one for each send   ARGV: the present loss token, TTL (s), then the value of each
-- Answers what stood there before, '' where nothing did; 'lost' where the nonces are not complete.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
local found = {}
for i = 2, #KEYS do
  found[i - 1] = redis.call('SET', KEYS[i], ARGV[i + 1], 'NX', 'GET', 'EX', ARGV[2]) or ''
end
return found
