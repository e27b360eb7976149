-- Write sessions' moves, each if nobody else has since (compare-and-set on the version).
-- KEYS: session:{id}:moved and moves:{id} of each
-- ARGV: TTL (ms), then for each the version expected (0: none), the new version, and the new value `<version> <hops>`
-- Answers for each 1 if it was written.
local written = {}
for i = 1, #KEYS / 2 do
  local value, count = redis.call('GET', KEYS[2 * i - 1]), redis.call('GET', KEYS[2 * i])
  local version = math.max(tonumber(value and string.match(value, '^%d+') or '0'), tonumber(count or '0'))
  written[i] = 0
  if version == tonumber(ARGV[3 * i - 1]) then
    redis.call('SET', KEYS[2 * i - 1], ARGV[3 * i + 1], 'PX', ARGV[1])
    redis.call('SET', KEYS[2 * i], ARGV[3 * i], 'PX', ARGV[1])
    written[i] = 1
  end
end
return written
