-- Removes from a channel's cache what is not among its newest messages and stands in the database, and all reactions
-- that stand there.
-- KEYS: ids, bodies (<offset>:<json>), reactions (<offset>:<1 or 0>). ARGV: how many messages to keep, newest offset in
--       the database.
local reacted = redis.call('HGETALL', KEYS[3])
local stored = {}
for i = 1, #reacted, 2 do
  if tonumber(string.match(reacted[i + 1], '^%d+')) <= tonumber(ARGV[2]) then stored[#stored + 1] = reacted[i] end
end
for i = 1, #stored, 1000 do redis.call('HDEL', KEYS[3], unpack(stored, i, math.min(i + 999, #stored))) end
local excess = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if excess <= 0 then return 0 end
local ids = redis.call('ZRANGE', KEYS[1], 0, math.min(excess, 1000) - 1)
local bodies = redis.call('HMGET', KEYS[2], unpack(ids))
local gone = {}
for i, id in ipairs(ids) do
  local offset = bodies[i] and tonumber(string.match(bodies[i], '^(%d+):'))
  if not offset or offset <= tonumber(ARGV[2]) then gone[#gone + 1] = id end
end
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
  redis.call('HDEL', KEYS[2], unpack(gone))
end
return #gone
