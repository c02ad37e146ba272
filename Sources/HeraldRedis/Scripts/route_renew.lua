-- Says again that a mapping holds, and writes it when it vanished.
--
-- KEYS[1]  herald:user:{alice}, a hash: key -> "cloud-1#7.42 EPOCH EXPIRES"
-- ARGV[1]  the key, `phone`
-- ARGV[2]  the session, `cloud-1#7.42`
-- ARGV[3]  the epoch of its bind
-- ARGV[4]  how long the mapping lives, in milliseconds
-- Reply    when it ends now; nil when refused, because another accept that is not older holds the key
--
-- What an earlier incarnation of the node wrote for the same session and epoch is the same accept: it is carried
-- over in this one step. A renewal of that earlier incarnation which arrives after it is refused.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local parts = '^(%S+)#(%d+)%.(%d+)$'
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
    local session, epoch, expires = string.match(stored, '^(%S+) (%d+) (%d+)$')
    if session and tonumber(expires) > now and tonumber(epoch) >= tonumber(ARGV[3]) then
        local node, incarnation, counter = string.match(session, parts)
        local ownNode, ownIncarnation, ownCounter = string.match(ARGV[2], parts)
        local same = epoch == ARGV[3] and node == ownNode and counter == ownCounter
            and tonumber(incarnation) <= tonumber(ownIncarnation)
        if not same then return false end
    end
end

local expires = now + tonumber(ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%s %s %.0f', ARGV[2], ARGV[3], expires))
local left = redis.call('PTTL', KEYS[1])
if left < 0 or now + left < expires then redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', expires)) end
return expires
