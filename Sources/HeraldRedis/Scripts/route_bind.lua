-- Binds a session to a key of a user. The newest accept wins.
--
-- KEYS     as presence.lua says
-- ARGV[1]  the user, `alice`
-- ARGV[2]  the key, `phone`
-- ARGV[3]  the session's node, `cloud-1`
-- ARGV[4]  its incarnation, `7`
-- ARGV[5]  its counter, `42`
-- ARGV[6]  how long the mapping lives, in milliseconds
-- ARGV[7]  when the session was accepted at the earliest, by Redis's clock in milliseconds; 0 when not known
-- ARGV[8]  when it was accepted at the latest; 0 when not known
-- ARGV[9]  how many connections the user may have; 0: as many as come
-- ARGV[10] 1 to make room by taking the oldest ones' mappings away, 0 to write nothing when there is none
-- ARGV[11] how many events are kept
-- Reply    {epoch, expires, session that held the key until now or '', 1 when the key came back within its grace,
--          then pairs: a key that lost its mapping for room, what stood there}; nil when refused;
--          {'full', pairs of all the mappings that were counted} when there is no room
--
-- Refused is what was held up on its way: an older session of the same node, told by incarnation and counter;
-- and a session of another node that was accepted before the present holder was. A tenth of a second is allowed
-- for epochs that ran ahead of the clock. A holder that is newer than the clock itself refuses nobody: the clock
-- was set back, or the master changed. The same bind again is answered as the first time.
-- The epoch is max(accepted, stored + 1): when the bind arrives does not matter, and neither a clock set back nor
-- a counter rolled back makes it shrink.

local incarnation, counter = tonumber(ARGV[4]), tonumber(ARGV[5])
local earliest, latest = tonumber(ARGV[7]), tonumber(ARGV[8])
local session = ARGV[3] .. '#' .. ARGV[4] .. '.' .. ARGV[5]
local epoch, replaced, isHeld = now, '', false
if latest > 0 then epoch = math.min(now, earliest) end

local stored = redis.call('HGET', KEYS[1], ARGV[2])
local holder, since, ends, departed
if stored then holder, since, ends, departed = read(stored) end
if holder and not departed then
    epoch = math.max(epoch, since + 1)
    isHeld = tonumber(ends) > now
    if isHeld then
        local node, i, c = string.match(holder, '^(.+)#(%d+)%.(%d+)$')
        i, c = tonumber(i), tonumber(c)
        if holder == session then
            epoch = tonumber(since)
        elseif node == ARGV[3] then
            if incarnation < i or (incarnation == i and counter < c) then return false end
            replaced = holder
        else
            local accepted = tonumber(since)
            if latest > 0 and accepted > latest + 100 and accepted <= now + 100 then return false end
            replaced = holder
        end
    end
end

local reply, max = { 'full' }, tonumber(ARGV[9])
local expires, returned = now + tonumber(ARGV[6]), 0
if max > 0 and not isHeld then
    local counted = others(KEYS[1], ARGV[2])
    if #counted >= max and ARGV[10] == '0' then
        for _, other in ipairs(counted) do
            table.insert(reply, other.key)
            table.insert(reply, other.text)
        end
        return reply
    end
    reply = { 0, 0, '', 0 }
    for at = 1, #counted - max + 1 do
        local other = counted[at]
        table.insert(reply, other.key)
        table.insert(reply, other.text)
        if tells then
            depart(KEYS[1], ARGV[1], other.key, other.session, other.epoch, 0, 'evicted')
        else
            redis.call('HDEL', KEYS[1], other.key)
        end
    end
end

redis.call('HSET', KEYS[1], ARGV[2], string.format('%s %.0f %.0f', session, epoch, expires))
keep(KEYS[1], expires)
if tells then
    local isSame = holder == session
    returned = took(KEYS[1], ARGV[1], ARGV[2], session, whole(epoch), holder, departed, isSame)
end
reply[1], reply[2], reply[3], reply[4] = epoch, expires, replaced, returned
return reply
