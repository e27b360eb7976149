-- The caches of a channel: what was noted before Redis lost writes may be older than what clients and the database know
-- by now, so begin anew. A cache that does not say under which loss token it was begun is one of an older version.
-- KEYS: as of recent_put
local ready, under = redis.call('GET', KEYS[5]), redis.call('GET', KEYS[4])
if ready and under ~= ready then
  if under then redis.call('DEL', KEYS[1], KEYS[2], KEYS[3]) end
  redis.call('SET', KEYS[4], ready)
end
