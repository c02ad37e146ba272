-- Removes shares of a room that a reader found to be over, each only if it is still what the reader saw.
--
-- KEYS[1]  herald:room:{news}, a zset: "cloud-1#7" -> when its share ends
-- KEYS[2]  herald:room:{news}:members, a hash: "cloud-1#7" -> members
-- ARGV     pairs: the incarnation, the end of its share as it was read
-- Reply    how many were removed

local removed = 0
for index = 1, #ARGV, 2 do
    local expires = redis.call('ZSCORE', KEYS[1], ARGV[index])
    if expires and tonumber(expires) == tonumber(ARGV[index + 1]) then
        removed = removed + redis.call('ZREM', KEYS[1], ARGV[index])
        redis.call('HDEL', KEYS[2], ARGV[index])
    end
end
return removed
