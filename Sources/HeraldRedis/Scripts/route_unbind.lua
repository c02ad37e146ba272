-- Removes exactly one mapping: a late unbind of an old session leaves the new one's alone.
--
-- KEYS[1]  herald:user:{alice}, a hash: key -> "cloud-1#7.42 EPOCH EXPIRES"
-- ARGV[1]  the key, `phone`
-- ARGV[2]  the session, `cloud-1#7.42`
-- ARGV[3]  the epoch of its bind
-- Reply    1 when the mapping was there and valid, else 0

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return 0 end
local session, epoch, expires = string.match(stored, '^(%S+) (%d+) (%d+)$')
if session ~= ARGV[2] or epoch ~= ARGV[3] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return tonumber(expires) > now and 1 or 0
