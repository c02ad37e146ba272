-- Removes exactly one mapping: a late unbind of an old session leaves the new one's alone.
--
-- KEYS     as presence.lua says
-- ARGV[1]  the user, `alice`
-- ARGV[2]  the key, `phone`
-- ARGV[3]  the session, `cloud-1#7.42`
-- ARGV[4]  the epoch of its bind
-- ARGV[5]  how long a return is waited for before the departure is told, in milliseconds
-- ARGV[6]  why the connection ended
-- ARGV[7]  how many events are kept
-- Reply    1 when the mapping was there and valid, else 0
--
-- A mapping that Redis lost is told of as well, if the index still knows that its `connected` was.

local stored = redis.call('HGET', KEYS[1], ARGV[2])
if not stored then
    if tells and redis.call('SISMEMBER', index(ARGV[3]), ARGV[1] .. '/' .. ARGV[2]) == 1 then
        depart(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], now + tonumber(ARGV[5]), ARGV[6])
    end
    return 0
end
local session, epoch, ends, departed = read(stored)
if departed or session ~= ARGV[3] or epoch ~= ARGV[4] then return 0 end
if tells then
    depart(KEYS[1], ARGV[1], ARGV[2], session, epoch, now + tonumber(ARGV[5]), ARGV[6])
else
    redis.call('HDEL', KEYS[1], ARGV[2])
end
return tonumber(ends) > now and 1 or 0
