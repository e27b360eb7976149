-- Keep the newest position of each entity, and publish it to the nodes that watch the entity or where it is.
-- ARGV: what all names begin with; then per position: entity, newness (40 digits), JSON, longitude, latitude, and as
-- many cells as CELLS says
-- Answers how many positions were the newest, and how many nodes were told.
local before, cells = ARGV[1], tonumber(ARGV[2])
local areas = redis.call('EXISTS', before .. 'location:areas') == 1
local told, order, fresh = {}, {}, 0
for at = 3, #ARGV, 5 + cells do
    local entity = ARGV[at]
    local key = before .. 'location:last:' .. entity
    local known = redis.call('GET', key)
    if not known or string.sub(known, 1, 40) < ARGV[at + 1] then
        fresh = fresh + 1
        redis.call('SET', key, ARGV[at + 1] .. ARGV[at + 2], 'EX', 86400)
        redis.call('GEOADD', before .. 'location:geo', ARGV[at + 3], ARGV[at + 4], entity)
        local watched = { 'location:watch:' .. entity }
        if areas then
            for cell = at + 5, at + 4 + cells do
                watched[#watched + 1] = 'location:cell:' .. ARGV[cell]
            end
        end
        local got = {}
        for _, name in ipairs(watched) do
            for _, node in ipairs(redis.call('HKEYS', before .. name)) do
                if not got[node] then
                    got[node] = true
                    if not told[node] then
                        told[node] = {}
                        order[#order + 1] = node
                    end
                    table.insert(told[node], ARGV[at + 2])
                end
            end
        end
    end
end
for _, node in ipairs(order) do
    redis.call('PUBLISH', before .. 'location:to:' .. node, 'P[' .. table.concat(told[node], ',') .. ']')
end
return { fresh, #order }
