-- Says again that a mapping holds, and writes it when it vanished.
--
-- KEYS     as presence.lua says
-- ARGV[1]  the user, `alice`
-- ARGV[2]  the key, `phone`
-- ARGV[3]  the session, `cloud-1#7.42`
-- ARGV[4]  the epoch of its bind
-- ARGV[5]  how long the mapping lives, in milliseconds
-- ARGV[6]  how many connections the user may have; 0: as many as come. Asked only of a mapping that vanished
-- ARGV[7]  how many events are kept
-- Reply    when it ends now; nil when refused, because another accept that is not older holds the key;
--          {'full', pairs: a key of the user, the mapping that was counted} when the user has no room for it
--
-- What an earlier incarnation of the node wrote for the same session and epoch is the same accept: it is carried
-- over in this one step. A renewal of that earlier incarnation which arrives after it is refused.

local parts = '^(.+)#(%d+)%.(%d+)$'
local stored = redis.call('HGET', KEYS[1], ARGV[2])
local holder, epoch, ends, departed
if stored then holder, epoch, ends, departed = read(stored) end
local isHeld = holder and not departed and tonumber(ends) > now
local isSame = holder == ARGV[3] and epoch == ARGV[4]
if holder and not departed and not isSame then
    local node, incarnation, counter = string.match(holder, parts)
    local ownNode, ownIncarnation, ownCounter = string.match(ARGV[3], parts)
    isSame = epoch == ARGV[4] and node == ownNode and counter == ownCounter
    local isRefused = not isSame or tonumber(incarnation) > tonumber(ownIncarnation)
    if isHeld and isRefused and tonumber(epoch) >= tonumber(ARGV[4]) then return false end
end

local max = tonumber(ARGV[6])
if max > 0 and not isHeld then
    local counted = others(KEYS[1], ARGV[2])
    if #counted >= max then
        local reply = { 'full' }
        for _, other in ipairs(counted) do
            table.insert(reply, other.key)
            table.insert(reply, other.text)
        end
        return reply
    end
end

local expires = now + tonumber(ARGV[5])
redis.call('HSET', KEYS[1], ARGV[2], string.format('%s %s %.0f', ARGV[3], ARGV[4], expires))
keep(KEYS[1], expires)
if tells and not (isHeld and holder == ARGV[3]) then
    took(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], holder, departed, isSame)
end
return expires
