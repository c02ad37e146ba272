-- Forgets all messages of an inbox; a new epoch begins.
--
-- KEYS[1]  herald:inbox:{alice}, a stream (inbox_append.lua says more of both)
-- KEYS[2]  herald:inbox:{alice}:head, a hash
-- ARGV[1]  the run of this Redis
-- ARGV[2]  how long an inbox is kept, in milliseconds
-- Reply    1
--
-- The head stays, so that the epoch grows also when all of this happens in one millisecond.

local time = redis.call('TIME')
local now, keep = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[2])
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if redis.call('XLEN', KEYS[1]) > 0 or redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
if epoch then
    epoch = string.format('%.0f', math.max(now, tonumber(epoch) + 1))
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[2], 'epoch', epoch, 'offset', 0, 'run', ARGV[1], 'since', 0, 'oldest', epoch)
    redis.call('PEXPIRE', KEYS[2], string.format('%.0f', math.ceil(keep * 17 / 16)))
end
return 1
