-- Open an inbox that follows a lost one: from here on its sessions may be adopted.
-- KEYS: inbox stream, its `at` hash
-- ARGV: fields of `at` in pairs: the cut, and the newest `s` of scopes
-- Answers 'ok', or 'gone'.
if redis.call('EXISTS', KEYS[1], KEYS[2]) < 2 then return 'gone' end
for i = 1, #ARGV, 2 do
  -- The newest `s` of a scope may be newer here already.
  local known = tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or '-1')
  if tonumber(ARGV[i + 1]) > known then redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
end
redis.call('HSET', KEYS[2], 'open', '1')
return 'ok'
