-- Append a batch of records to one inbox: all or nothing, each source position once (docs/design.md, section 4).
-- KEYS: inbox stream, its `at` hash, the epoch key
-- ARGV: time zero of s (ms), cap, then per record: source partition, offset, scopes (space separated), entry
-- Answers {'ok' | 'gone', epoch, number appended}.
local epoch = redis.call('GET', KEYS[3])
local last = tonumber(redis.call('HGET', KEYS[2], 's'))
-- A stream that was lost would be made anew by the next append, and nobody would notice the lost entries.
if not last or redis.call('EXISTS', KEYS[1]) == 0 then return {'gone', epoch, 0} end

local floor = s_now(ARGV[1])
local cap = ARGV[2]
local high, changed, appended = {}, {}, 0
for i = 3, #ARGV, 4 do
  local partition, offset = ARGV[i], tonumber(ARGV[i + 1])
  if not high[partition] then high[partition] = tonumber(redis.call('HGET', KEYS[2], partition) or '-1') end
  if offset > high[partition] then
    last = math.max(last + 1, floor)
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', cap, string.format('%.0f-0', last), 'e', ARGV[i + 3])
    high[partition] = offset
    changed[partition] = ARGV[i + 1]
    for scope in string.gmatch(ARGV[i + 2], '%S+') do changed[scope] = string.format('%.0f', last) end
    appended = appended + 1
  end
end
if appended > 0 then
  changed['s'] = string.format('%.0f', last)
  local fields = {}
  for field, value in pairs(changed) do fields[#fields + 1] = field; fields[#fields + 1] = value end
  -- In pieces: Lua takes some 8000 arguments, and an error here would come after the entries.
  for i = 1, #fields, 1000 do redis.call('HSET', KEYS[2], unpack(fields, i, math.min(i + 999, #fields))) end
end
return {'ok', epoch, appended}
