-- Removes mappings that a reader found to be over, each only if it is still what the reader saw.
--
-- KEYS[1]  herald:user:{alice}, a hash: key -> "cloud-1#7.42 EPOCH EXPIRES"
-- ARGV     pairs: the key, the value as it was read
-- Reply    how many were removed

local removed = 0
for index = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[index]) == ARGV[index + 1] then
        removed = removed + redis.call('HDEL', KEYS[1], ARGV[index])
    end
end
return removed
