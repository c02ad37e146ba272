-- Publishes a message to a node and keeps it in the node's hop, from where a listener that was cut off repairs.
--
-- KEYS[1]  herald:hop:{cloud-1}, a stream: `n` the message's number, `e` the envelope
-- KEYS[2]  herald:hop:{cloud-1}:number, the number of the newest message
-- KEYS[3]  herald:to:{cloud-1}, the channel
-- ARGV[1]  the envelope
-- ARGV[2]  how many messages the hop keeps
-- ARGV[3]  how many bytes: one of a hundredth of that leaves a hundred in the hop; a larger one is not kept at all
-- ARGV[4]  how long a message is kept, in milliseconds
-- ARGV[5]  how long hop and number outlive their last use, in milliseconds
-- Reply    how many subscribers the channel had
--
-- What goes out is "m", the entry's id ("0-0" when it is not kept), a space, the number, a space, the envelope.
-- Numbers have no holes, so that who has one knows what it missed. They begin at Redis's clock in milliseconds,
-- so that they do not go on by accident where those of a life that Redis has lost ended. Old entries are looked
-- for with each 64th message, and when nobody listens, who could look himself (bus_probe).

local number = redis.call('INCR', KEYS[2])
if number == 1 then
    local time = redis.call('TIME')
    number = time[1] * 1000 + math.floor(time[2] / 1000)
    redis.call('SET', KEYS[2], string.format('%.0f', number))
end

local id = '0-0'
local bytes, bytes_max = #ARGV[1], tonumber(ARGV[3])
if bytes <= bytes_max then
    local entries = math.min(tonumber(ARGV[2]), math.floor(bytes_max / math.max(bytes, 1)))
    id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', entries, '*', 'n', number, 'e', ARGV[1])
end

local listeners = redis.call('PUBLISH', KEYS[3], 'm' .. id .. ' ' .. number .. ' ' .. ARGV[1])
if listeners == 0 or number % 64 == 0 then
    local now = tonumber(string.match(id, '^%d+'))
    if now > 0 then
        redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(0, now - tonumber(ARGV[4]))))
    end
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
    redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return listeners
