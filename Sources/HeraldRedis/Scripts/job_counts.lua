-- Counts the jobs of a partition.
--
-- KEYS[1]  herald:jobs:{3}; job_words.lua names the rest
-- ARGV     the states that are wanted
-- Reply    {bytes of what waits, how long the oldest queued job has waited in milliseconds, how many in each state}

local oldest = redis.call('ZRANGE', base .. ':queued', 0, 0, 'WITHSCORES')
local bytes = tonumber(redis.call('HGET', base .. ':sums', 'bytes') or 0)
local reply = { bytes, oldest[2] and now - tonumber(oldest[2]) or 0 }
for _, state in ipairs(ARGV) do reply[#reply + 1] = redis.call('ZCARD', base .. ':' .. state) end
return reply
