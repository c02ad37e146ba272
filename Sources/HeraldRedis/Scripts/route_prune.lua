-- Ends mappings that somebody found to be over, each only if it is still what was read.
--
-- KEYS     as presence.lua says
-- ARGV[1]  the user, `alice`
-- ARGV[2]  when their departures are told, in milliseconds of Redis's clock; at once when that is past
-- ARGV[3]  why they ended
-- ARGV[4]… pairs: the key, the value as it was read; at the end how many events are kept
-- Reply    how many were ended

local ended = 0
for at = 4, #ARGV - 1, 2 do
    if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[at + 1] then
        local session, epoch, _, departed = read(ARGV[at + 1])
        if tells and session and not departed then
            depart(KEYS[1], ARGV[1], ARGV[at], session, epoch, tonumber(ARGV[2]), ARGV[3])
        elseif not tells then
            redis.call('HDEL', KEYS[1], ARGV[at])
        end
        ended = ended + 1
    end
end
return ended
