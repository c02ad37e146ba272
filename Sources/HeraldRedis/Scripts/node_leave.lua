-- Gives a node's lease back, if it is still this incarnation's.
--
-- KEYS[1]  herald:node:{cloud-1}, a hash
-- ARGV[1]  incarnation
-- Reply    when it was given back, in milliseconds of Redis's clock; 0 when it was not this incarnation's
--
-- The incarnation stays for an hour, so that the next run gets a larger one even within the same millisecond.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'left', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], 3600000)
return now
