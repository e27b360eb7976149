-- Note in which voice channel of a guild a user is.
-- ARGV: what all names begin with; node; guild; user; the session that says so; channel, 0 for none; JSON of the state;
-- now (ms)
-- A session that ends takes back only what it has said itself. Instead of its name, '*' stands for any session, and ''
-- for any of the node.
-- Answers the channel in which the user was, 0 for none; -1 where nothing has changed.
local before, node, guild, user, session = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local channel, state, now = ARGV[6], ARGV[7], ARGV[8]
local voices, pair = before .. 'status:voice:' .. guild, guild .. ' ' .. user
local of_node = before .. 'status:voices-of:' .. node
local was = redis.call('HGET', voices, user)
local old_node, old_session, old_channel, old_state
if was then
    old_node, old_session, old_channel, old_state = string.match(was, '^(%S+) (%S+) (%S+) (.*)$')
end
if channel == '0' then
    redis.call('HDEL', of_node, pair)
    if not was then return -1 end
    if session ~= '*' and (old_node ~= node or (session ~= '' and session ~= old_session)) then return -1 end
    redis.call('HDEL', before .. 'status:voices-of:' .. old_node, pair)
    redis.call('HDEL', voices, user)
else
    redis.call('HSET', of_node, pair, '')
    redis.call('SADD', before .. 'status:nodes', node)
    redis.call('HSET', voices, user, table.concat({ node, session, channel, state }, ' '))
    if was and old_node ~= node then redis.call('HDEL', before .. 'status:voices-of:' .. old_node, pair) end
    if old_channel == channel and old_state == state then return -1 end
end
for _, concerned in ipairs({ old_channel or '0', channel }) do
    if concerned ~= '0' then
        redis.call('ZADD', before .. 'status:untold', now, 'v ' .. guild .. ' ' .. user .. ' ' .. concerned)
    end
end
return tonumber(old_channel or '0')
