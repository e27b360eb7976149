-- Put before each script that makes an `s`: the lowest one that Redis's clock allows now.
-- S_PER_MS is put before this: how many there are in a millisecond.
local function s_now(zero_ms)
  local time = redis.call('TIME')
  return (time[1] * 1000 + math.floor(time[2] / 1000) - zero_ms) * S_PER_MS
end

