-- Note what a message of a channel looks like now; goes only forward in the log. What was deleted stays deleted: an edit
-- that began before the deletion may stand behind it.
-- KEYS: ids of the channel's newest messages (sorted set), their bodies (hash), reactions (hash), the loss token under
--       which these were begun, nonces:ready
-- ARGV: message id, Kafka offset of what it looks like, its JSON ('' = deleted), cap, '1' if it is new: whatever is
--       known of a new message is newer, also when its record stands in the log twice
-- Answers 1, or 0 if the cache knows that or something newer.
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known and ARGV[3] ~= '' and string.match(known, '^%d+:$') then return 0 end
if known and ARGV[3] == '' then
  ARGV[2] = math.max(tonumber(ARGV[2]), tonumber(string.match(known, '^%d+')))
elseif known and (ARGV[5] == '1' or tonumber(string.match(known, '^%d+')) >= tonumber(ARGV[2])) then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[1])
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[4])
if over > 0 then
  local popped = redis.call('ZPOPMIN', KEYS[1], over)
  for i = 1, #popped, 2 do redis.call('HDEL', KEYS[2], popped[i]) end
end
return 1
