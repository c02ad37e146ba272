-- Binds a session to a key of a user. The newest accept wins.
--
-- KEYS[1]  herald:user:{alice}, a hash: key -> "cloud-1#7.42 EPOCH EXPIRES"
-- ARGV[1]  the key, `phone`
-- ARGV[2]  the session's node, `cloud-1`
-- ARGV[3]  its incarnation, `7`
-- ARGV[4]  its counter, `42`
-- ARGV[5]  how long the mapping lives, in milliseconds
-- ARGV[6]  when the bind was asked for at the latest, by Redis's clock in milliseconds; 0 when not known
-- Reply    {epoch, expires, session that held the key until now or ''}; nil when refused
--
-- Refused is what was held up on its way: an older session of the same node, told by incarnation and counter;
-- and a session of another node that was asked for before the present holder was accepted. A tenth of a second
-- is allowed for epochs that ran ahead of the clock. The same bind again is answered as the first time.
-- The epoch is max(clock, stored + 1): neither a clock set back nor a counter rolled back makes it shrink.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local incarnation, counter, asked = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
local epoch, replaced = now, ''

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
    local session, node, i, c, e, expires = string.match(stored, '^((%S+)#(%d+)%.(%d+)) (%d+) (%d+)$')
    if session then
        i, c, e, expires = tonumber(i), tonumber(c), tonumber(e), tonumber(expires)
        epoch = math.max(now, e + 1)
        if expires > now then
            local same = node == ARGV[2] and i == incarnation and c == counter
            if same then
                epoch = e
            elseif node == ARGV[2] then
                if incarnation < i or (incarnation == i and counter < c) then return false end
                replaced = session
            else
                if asked > 0 and e > asked + 100 then return false end
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
