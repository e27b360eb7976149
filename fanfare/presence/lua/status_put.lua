-- Note what a user's sessions on one node make of the user's status, and what that changes in guilds.
-- ARGV: what all names begin with; node; user; '' where none of the user's sessions is left, else four digits (rank, and
-- rank per kind of client: desktop, mobile, web; 0 none, 1 idle, 2 online, 3 dnd) and the JSON of the activities; now
-- (ms); guilds in which the node shows the user
-- Answers the guilds in which somebody wants to be told of the change.
local before, node, user, value, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local own, noted = before .. 'status:user:' .. user, before .. 'status:node:' .. node
local was = redis.call('HGET', noted, user) or ''
if value == '' then
    redis.call('HDEL', own, node)
    redis.call('HDEL', noted, user)
else
    redis.call('HSET', own, node, value)
    redis.call('HSET', noted, user, table.concat(ARGV, ' ', 6))
    redis.call('SADD', before .. 'status:nodes', node)
end

local NAMES, KINDS = { 'idle', 'online', 'dnd' }, { 'desktop', 'mobile', 'web' }
local ranks, best, activities = { 0, 0, 0 }, 0, '[]'
for _, one in ipairs(redis.call('HVALS', own)) do
    local rank = tonumber(string.sub(one, 1, 1))
    if rank > best then
        best, activities = rank, string.sub(one, 5)
    end
    for kind = 1, 3 do
        ranks[kind] = math.max(ranks[kind], tonumber(string.sub(one, kind + 1, kind + 1)))
    end
end
local status = ''
if best > 0 then
    local clients = {}
    for kind = 1, 3 do
        if ranks[kind] > 0 then
            clients[#clients + 1] = '"' .. KINDS[kind] .. '":"' .. NAMES[ranks[kind]] .. '"'
        end
    end
    status = '{"status":"' .. NAMES[best] .. '","activities":' .. activities
        .. ',"client_status":{' .. table.concat(clients, ',') .. '}}'
end

local told, present = {}, {}
local function show(guild, text)
    local members = before .. 'status:guild:' .. guild
    if (redis.call('HGET', members, user) or '') == text then return end
    if text == '' then
        redis.call('HDEL', members, user)
    else
        redis.call('HSET', members, user, text)
    end
    if redis.call('EXISTS', before .. 'status:watched:' .. guild) == 1 then
        redis.call('ZADD', before .. 'status:untold', now, 'p ' .. guild .. ' ' .. user)
        told[#told + 1] = guild
    end
end
for at = 6, #ARGV do
    present[ARGV[at]] = true
    show(ARGV[at], status)
end
-- Where the user is shown no more: in a guild that was left nobody asks, after the last session the others count.
for guild in string.gmatch(was, '%S+') do
    if not present[guild] then show(guild, value == '' and status or '') end
end
return told
