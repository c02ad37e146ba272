-- Sends a node's listener a probe through its own channel, and keeps the node's hop in order.
--
-- KEYS[1]  herald:hop:{cloud-1}, a stream: `n` the message's number, `e` the envelope
-- KEYS[2]  herald:hop:{cloud-1}:number, the number of the newest message
-- KEYS[3]  herald:to:{cloud-1}, the channel
-- ARGV[1]  how long a message is kept, in milliseconds
-- ARGV[2]  how long hop and number outlive their last use, in milliseconds
-- Reply    how many subscribers the channel had
--
-- What goes out is "p", the id of the hop's newest entry ("0-0" when there is none), a space, the number of the
-- newest message, a space. It comes between the messages before it and those after it, so a listener sees by the
-- number whether it has all that came before. A number is begun here when there is none, as in bus_publish.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local number = redis.call('GET', KEYS[2])
if not number then
    number = string.format('%.0f', time[1] * 1000000 + time[2])
    redis.call('SET', KEYS[2], number)
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])

redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(0, now - tonumber(ARGV[1]))))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local id = newest[1] and newest[1][1] or '0-0'

return redis.call('PUBLISH', KEYS[3], 'p' .. id .. ' ' .. number .. ' ')
