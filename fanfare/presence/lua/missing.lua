-- Which registrations are not there, though they were written and not removed.
-- KEYS: hashes of presence   ARGV: the field of each
-- Answers their places, from 1.
local missing = {}
for i, key in ipairs(KEYS) do
  if not redis.call('HGET', key, ARGV[i]) then missing[#missing + 1] = i end
end
return missing
