-- What the scripts of jobs share: it goes before each of them and does nothing by itself.
--
-- KEYS[1]  herald:jobs:{3}, the stream of one partition. All else has this name and an ending, so that it lies in the
--          same slot: `:job:ID` (a hash, the job), `:steps:ID` (a hash: step -> its targets, one a line), `:due`
--          (a zset: job -> when it is to be queued), `:all` (a zset: job -> when it was made), `:STATE` (a zset:
--          job -> since when; `:dead` has the dead letters) and `:sums` (a hash: bytes of what waits, and the last
--          fencing number)
-- ARGV     those of the script that follows
-- Reply    that of the script that follows
--
-- A job's entry in the stream is named in its hash: any other entry of it is stale, and dropped by who reads it.
--
-- Redis that is out of memory refuses a script whose first write may need some (HSET, ZADD), and carries the whole of
-- any other out. What saves, ends or frees something begins with a write that needs none (ZREM, DEL, XCLAIM): else
-- steps would go out again and again, and nothing could make room.

local base = KEYS[1]
local group = 'workers'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(number) return string.format('%.0f', number) end
local function job(id) return base .. ':job:' .. id end
local function steps(id) return base .. ':steps:' .. id end

-- Into another state.
local function move(id, from, to)
    redis.call('ZREM', base .. ':' .. from, id)
    redis.call('ZADD', base .. ':' .. to, text(now), id)
    redis.call('HSET', job(id), 'state', to, 'since', text(now))
end

-- Out of the stream and out of the times that are due.
local function unlist(id)
    redis.call('ZREM', base .. ':due', id)
    local entry = redis.call('HGET', job(id), 'entry')
    if entry and entry ~= '' then
        redis.call('XACK', base, group, entry)
        redis.call('XDEL', base, entry)
    end
    redis.call('HSET', job(id), 'entry', '', 'due', 0)
end

-- Into the stream, as a new entry.
local function enlist(id, from)
    unlist(id)
    redis.call('HSET', job(id), 'entry', redis.call('XADD', base, '*', 'job', id))
    move(id, from, 'queued')
end

-- To the times that are due.
local function schedule(id, from, to, due)
    unlist(id)
    redis.call('ZADD', base .. ':due', text(due), id)
    redis.call('HSET', job(id), 'due', text(due))
    move(id, from, to)
end

-- Gives back what only an unfinished job needs.
local function lighten(id)
    redis.call('DEL', steps(id))
    redis.call('HDEL', job(id), 'message')
    local bytes = tonumber(redis.call('HGET', job(id), 'bytes') or 0)
    if bytes > 0 then redis.call('HINCRBY', base .. ':sums', 'bytes', -bytes) end
    redis.call('HSET', job(id), 'bytes', 0)
end

local function finish(id, from, to)
    unlist(id)
    move(id, from, to)
    lighten(id)
end

local function forget(id, state)
    lighten(id)
    redis.call('ZREM', base .. ':' .. state, id)
    redis.call('ZREM', base .. ':all', id)
    redis.call('DEL', job(id))
end

