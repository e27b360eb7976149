-- Which sessions' moves are to be written again: they are gone, older than their node knows, or soon to expire.
-- KEYS: session:{id}:moved and moves:{id} of each
-- ARGV: TTL below which they are soon to expire (ms), then the version of each
-- Answers their places, from 1.
local found = {}
for i = 1, #KEYS / 2 do
  local value, count = redis.call('GET', KEYS[2 * i - 1]), redis.call('GET', KEYS[2 * i])
  local there = value and count and math.min(tonumber(string.match(value, '^%d+')), tonumber(count)) or -1
  if there < tonumber(ARGV[i + 1]) or redis.call('PTTL', KEYS[2 * i - 1]) < tonumber(ARGV[1]) then
    found[#found + 1] = i
  end
end
return found
