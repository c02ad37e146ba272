-- Tells how many members of a room one incarnation of a node holds; zero takes its share out.
--
-- KEYS[1]  herald:room:{news}, a zset: "cloud-1#7" -> when its share ends
-- KEYS[2]  herald:room:{news}:members, a hash: "cloud-1#7" -> members
-- ARGV[1]  the incarnation, `cloud-1#7`
-- ARGV[2]  its members
-- ARGV[3]  how long its share lives, in milliseconds
-- Reply    1
--
-- Shares that are over go at the same time.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

for _, over in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))) do
    redis.call('ZREM', KEYS[1], over)
    redis.call('HDEL', KEYS[2], over)
end

if tonumber(ARGV[2]) <= 0 then
    redis.call('ZREM', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
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
return 1
