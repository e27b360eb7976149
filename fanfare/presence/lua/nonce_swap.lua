-- Replace or free a nonce, if it still says what we think.
-- KEYS: the nonce
-- ARGV: value expected, new value ('' = free it)
-- Answers 1, or 0 if it says something else.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
end
return 1
