-- Tells how many members of a room one incarnation of a node holds, and what changed in the list of their names;
-- zero members take its share out, and its list.
--
-- KEYS[1]  herald:room:{news}, a zset: "cloud-1#7" -> when its share ends
-- KEYS[2]  herald:room:{news}:members, a hash: "cloud-1#7" -> members
-- KEYS[3]  herald:room:{news}:list:cloud-1#7, a zset: "alice/phone" -> 0, so in the order of the names' bytes
-- ARGV[1]  the incarnation, `cloud-1#7`
-- ARGV[2]  its members
-- ARGV[3]  how long its share and its list live, in milliseconds
-- ARGV[4]  1 to begin the list anew, else 0
-- ARGV[5]  how many names the list must have after this; -1 where that cannot be said, or no list is kept
-- ARGV[6]  how many names follow that joined; the rest are those that left
-- Reply    1; 0 when the list has another length than it must have
--
-- Shares that are over go at the same time. Their lists need nobody: each ends with its share, by itself.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

for _, over in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))) do
    redis.call('ZREM', KEYS[1], over)
    redis.call('HDEL', KEYS[2], over)
end

if tonumber(ARGV[2]) <= 0 then
    redis.call('ZREM', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
    redis.call('DEL', KEYS[3])
    return 1
end

local expires = now + tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], string.format('%.0f', expires), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local left = redis.call('PTTL', KEYS[1])
if left < 0 or now + left < expires then
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', expires))
    redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', expires))
end

local listed, joined = tonumber(ARGV[5]), tonumber(ARGV[6])
if ARGV[4] == '1' then redis.call('DEL', KEYS[3]) end
for index = 7, 6 + joined do redis.call('ZADD', KEYS[3], 0, ARGV[index]) end
for index = 7 + joined, #ARGV do redis.call('ZREM', KEYS[3], ARGV[index]) end
if listed < 0 and #ARGV == 6 then return 1 end
redis.call('PEXPIREAT', KEYS[3], string.format('%.0f', expires))
return (listed < 0 or redis.call('ZCARD', KEYS[3]) == listed) and 1 or 0
