-- Finds a user's connections, or one of them, and publishes a message to their nodes, in one step (hop.lua says how).
--
-- KEYS[1]  herald:user:{alice}, a hash: key -> "cloud-1#7.42 EPOCH EXPIRES", or "~…" for a departure, no mapping
-- KEYS[2]  herald:, what the names of the nodes' keys and channels begin with
-- ARGV     hop.lua's, and
-- ARGV[6]  a key: only that connection; absent: all of the user
-- Reply    what it read, a list of key and mapping in turns, and a list of node and subscribers in turns; false when
--          nothing was published: nobody is there, or something there is over or not Herald's and wants a closer look
--
-- A mapping counts as a look-up counts it: it is not over, and its incarnation holds the node's live lease.

local found
if ARGV[6] then
    found = { ARGV[6], redis.pcall('HGET', KEYS[1], ARGV[6]) }
else
    found = redis.pcall('HGETALL', KEYS[1])
end
if found.err or type(found[2]) == 'table' then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local held, nodes, runs = {}, {}, {}
for place = 2, #found, 2 do
    local text = found[place]
    if text and string.byte(text) ~= 126 then
        local node, run, ends = string.match(text, '^([a-z0-9-]+)#(%d+)%.%d+ %d+ (%d+)$')
        if not node or tonumber(ends) <= now then return false end
        if not runs[node] then
            local lease = redis.call('HMGET', KEYS[2] .. 'node:{' .. node .. '}', 'incarnation', 'deadline')
            if not lease[2] or tonumber(lease[2]) <= now then return false end
            runs[node] = lease[1]
            nodes[#nodes + 1] = node
        end
        if runs[node] ~= run then return false end
        held[#held + 1] = found[place - 1]
        held[#held + 1] = text
    end
end
if #nodes == 0 then return false end

local told = {}
for _, node in ipairs(nodes) do
    local hop = KEYS[2] .. 'hop:{' .. node .. '}'
    told[#told + 1] = node
    told[#told + 1] = publish(hop, hop .. ':number', KEYS[2] .. 'to:{' .. node .. '}')
end
return { held, told }
