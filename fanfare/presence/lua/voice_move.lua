-- Put a user who is in a voice channel of a guild into another one, or into none.
-- ARGV: what all names begin with; guild; user; what stands there, as it was read; node that noted it; channel that the
-- user is in; channel, 0 for none; what is to stand there; now (ms)
-- Answers 1, or 0 where something else stands there by now.
local before, guild, user = ARGV[1], ARGV[2], ARGV[3]
local voices, pair = before .. 'status:voice:' .. guild, guild .. ' ' .. user
if redis.call('HGET', voices, user) ~= ARGV[4] then return 0 end
if ARGV[7] == '0' then
    redis.call('HDEL', voices, user)
    redis.call('HDEL', before .. 'status:voices-of:' .. ARGV[5], pair)
else
    redis.call('HSET', voices, user, ARGV[8])
end
for _, concerned in ipairs({ ARGV[6], ARGV[7] }) do
    if concerned ~= '0' then
        redis.call('ZADD', before .. 'status:untold', ARGV[9], 'v ' .. guild .. ' ' .. user .. ' ' .. concerned)
    end
end
return 1
