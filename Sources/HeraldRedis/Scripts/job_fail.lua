-- Gives a claim up: because its step failed, or because its worker stops.
--
-- KEYS[1]  herald:jobs:{3}; job_words.lua names the rest
-- ARGV[1]  the job
-- ARGV[2]  the claim's fencing number
-- ARGV[3]  milliseconds until the next try; -1 when there is to be none, -2 when the worker only stops
-- ARGV[4]  how many times a step may be claimed
-- ARGV[5]  why, for people
-- Reply    the job's state after it; nil when the claim was lost before

local id = ARGV[1]
local stored = redis.call('HMGET', job(id), 'state', 'fence', 'tries')
if stored[1] ~= 'running' or stored[2] ~= ARGV[2] then return false end

local pause, tries = tonumber(ARGV[3]), tonumber(stored[3])
-- Of no effect but that a Redis without memory does the rest too.
redis.call('ZREM', base .. ':due', id)
-- A repetition of this call, and what the worker may still say, come too late.
redis.call('HINCRBY', job(id), 'fence', 1)
if pause == -2 then
    redis.call('HSET', job(id), 'tries', math.max(0, tries - 1))
    enlist(id, 'running')
    return 'queued'
end
redis.call('HSET', job(id), 'failure', ARGV[5])
if pause < 0 or tries >= tonumber(ARGV[4]) then
    unlist(id)
    move(id, 'running', 'dead')
    return 'dead'
end
schedule(id, 'running', 'retrying', now + pause)
return 'retrying'
