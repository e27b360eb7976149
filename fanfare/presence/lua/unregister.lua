-- Leave scopes: note in the inbox that it no longer receives them, and remove the registrations, in one turn.
-- KEYS: inbox stream, its `at` hash, then the hashes of presence
-- ARGV: time zero of s (ms), scopes (space separated), then the field to delete of each hash
local last = tonumber(redis.call('HGET', KEYS[2], 's'))
if last and ARGV[2] ~= '' and redis.call('EXISTS', KEYS[1]) == 1 then
  local s = string.format('%.0f', math.max(last + 1, s_now(ARGV[1])))
  redis.call('XADD', KEYS[1], s .. '-0', 'm', 'UNREG ' .. ARGV[2])
  redis.call('HSET', KEYS[2], 's', s)
  for scope in string.gmatch(ARGV[2], '%S+') do redis.call('HSET', KEYS[2], scope, s) end
end
for i = 3, #KEYS do redis.call('HDEL', KEYS[i], ARGV[i]) end
return 'ok'
