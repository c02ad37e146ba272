-- Binds a session to a key of a user. The newest accept wins.
--
-- KEYS[1]  herald:user:{alice}, a hash: key -> "cloud-1#7.42 EPOCH EXPIRES"
-- ARGV[1]  the key, `phone`
-- ARGV[2]  the session's node, `cloud-1`
-- ARGV[3]  its incarnation, `7`
-- ARGV[4]  its counter, `42`
-- ARGV[5]  how long the mapping lives, in milliseconds
-- ARGV[6]  when the session was accepted at the earliest, by Redis's clock in milliseconds; 0 when not known
-- ARGV[7]  when it was accepted at the latest; 0 when not known
-- Reply    {epoch, expires, session that held the key until now or ''}; nil when refused
--
-- Refused is what was held up on its way: an older session of the same node, told by incarnation and counter;
-- and a session of another node that was accepted before the present holder was. A tenth of a second is allowed
-- for epochs that ran ahead of the clock. A holder that is newer than the clock itself refuses nobody: the clock
-- was set back, or the master changed. The same bind again is answered as the first time.
-- The epoch is max(accepted, stored + 1): when the bind arrives does not matter, and neither a clock set back nor
-- a counter rolled back makes it shrink.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local incarnation, counter = tonumber(ARGV[3]), tonumber(ARGV[4])
local earliest, latest = tonumber(ARGV[6]), tonumber(ARGV[7])
local epoch, replaced = now, ''
if latest > 0 then epoch = math.min(now, earliest) end

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
    local session, node, i, c, e, expires = string.match(stored, '^((%S+)#(%d+)%.(%d+)) (%d+) (%d+)$')
    if session then
        i, c, e, expires = tonumber(i), tonumber(c), tonumber(e), tonumber(expires)
        epoch = math.max(epoch, e + 1)
        if expires > now then
            local same = node == ARGV[2] and i == incarnation and c == counter
            if same then
                epoch = e
            elseif node == ARGV[2] then
                if incarnation < i or (incarnation == i and counter < c) then return false end
                replaced = session
            else
                if latest > 0 and e > latest + 100 and e <= now + 100 then return false end
                replaced = session
            end
        end
    end
end

local expires = now + tonumber(ARGV[5])
local session = ARGV[2] .. '#' .. ARGV[3] .. '.' .. ARGV[4]
redis.call('HSET', KEYS[1], ARGV[1], string.format('%s %.0f %.0f', session, epoch, expires))
local left = redis.call('PTTL', KEYS[1])
if left < 0 or now + left < expires then redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', expires)) end
return { epoch, expires, replaced }
