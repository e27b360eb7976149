-- Write sessions' moves, each if nobody else has since (compare-and-set on the version).
-- KEYS: session:{id}:moved of each
-- ARGV: TTL (ms), then for each the version expected (0: none) and the new value `<version> <hops>`
-- Answers for each 1 if it was written.
local written = {}
for i, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  local version = value and string.match(value, '^%d+') or '0'
  written[i] = 0
  if version == ARGV[2 * i] then
    redis.call('SET', key, ARGV[2 * i + 1], 'PX', ARGV[1])
    written[i] = 1
  end
end
return written
