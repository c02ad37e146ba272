-- Queues what is due, forgets what was kept long enough, and claims jobs for a worker.
--
-- KEYS[1]  herald:jobs:{3}; job_words.lua names the rest
-- ARGV[1]  the worker
-- ARGV[2]  how many jobs at most
-- ARGV[3]  after how long without renewal a claim lapses, in milliseconds
-- ARGV[4]  how many times a step may be claimed
-- ARGV[5]  how long done and cancelled jobs are kept, in milliseconds
-- ARGV[6]  how long dead jobs are kept, in milliseconds
-- ARGV[7]  how many done and how many cancelled jobs are kept at most
-- Reply    for each job {id, when it was made, fence, tries, rate, message, steps done, the next step's targets
--          or nil}
--
-- Each kind of housekeeping does at most a hundred jobs a call, so that no call is long.
--
-- The fencing number is max(now, the partition's last + 1): no job has one twice, although its hash goes with it when
-- it is deleted and added anew, and although a counter goes back where Redis lost its last second.

local few = 100
for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. ':due', '-inf', text(now), 'LIMIT', 0, few)) do
    local state = redis.call('HGET', job(id), 'state')
    if state == 'scheduled' or state == 'retrying' then
        enlist(id, state)
    else
        redis.call('ZREM', base .. ':due', id)
    end
end

for state, kept in pairs({ done = ARGV[5], cancelled = ARGV[5], dead = ARGV[6] }) do
    local key = base .. ':' .. state
    local over = redis.call('ZRANGEBYSCORE', key, '-inf', text(now - tonumber(kept)), 'LIMIT', 0, few)
    local excess = redis.call('ZCARD', key) - #over - tonumber(ARGV[7])
    if state ~= 'dead' and excess > 0 then
        over = redis.call('ZRANGE', key, 0, math.min(#over + excess, few) - 1)
    end
    for _, id in ipairs(over) do forget(id, state) end
end

local limit, taken = tonumber(ARGV[2]), {}
if limit == 0 then return taken end

local function drop(entry)
    redis.call('XACK', base, group, entry)
    redis.call('XDEL', base, entry)
end

local fence
local function newest()
    if not fence then
        fence = text(math.max(now, tonumber(redis.call('HGET', base .. ':sums', 'fence') or 0) + 1))
        redis.call('HSET', base .. ':sums', 'fence', fence)
    end
    return fence
end

local function take(entry, id)
    local stored = id and redis.call('HMGET', job(id),
        'entry', 'state', 'tries', 'step', 'rate', 'message', 'created')
    if not stored or stored[1] ~= entry then return drop(entry) end
    local state, tries, step = stored[2], tonumber(stored[3]) + 1, stored[4]
    if tries > tonumber(ARGV[4]) then
        unlist(id)
        move(id, state, 'dead')
        redis.call('HSET', job(id), 'failure', 'its workers were lost in step ' .. step)
        return
    end
    redis.call('HSET', job(id), 'fence', newest(), 'tries', tries, 'worker', ARGV[1])
    move(id, state, 'running')
    taken[#taken + 1] = {
        id, stored[7], newest(), tries, stored[5], stored[6] or '', step, redis.call('HGET', steps(id), step),
    }
end

-- A stream or group that is not there (the first time, or Redis lost its data) is made.
local cursor = '0-0'
repeat
    local lapsed = redis.pcall('XAUTOCLAIM', base, group, ARGV[1], ARGV[3], cursor, 'COUNT', limit - #taken)
    if lapsed.err then
        redis.call('XGROUP', 'CREATE', base, group, '0', 'MKSTREAM')
        break
    end
    cursor = lapsed[1]
    for _, entry in ipairs(lapsed[2]) do
        if entry then take(entry[1], entry[2] and entry[2][2]) end
    end
until cursor == '0-0' or #taken == limit
if #taken < limit then
    local fresh = redis.call('XREADGROUP', 'GROUP', group, ARGV[1], 'COUNT', limit - #taken, 'STREAMS', base, '>')
    if fresh then
        for _, entry in ipairs(fresh[1][2]) do take(entry[1], entry[2] and entry[2][2]) end
    end
end
return taken
