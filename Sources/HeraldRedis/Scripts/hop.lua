-- What the scripts that publish to nodes have in common. No script of its own: its text goes in front of theirs.
--
-- KEYS[…]  its script's: herald:hop:{cloud-1}, a stream: `n` the message's number, `e` the envelope;
--          herald:hop:{cloud-1}:number, the number of the newest message; herald:to:{cloud-1}, the channel
-- ARGV[1]  the envelope
-- ARGV[2]  how many messages the hop keeps
-- ARGV[3]  how many bytes; a message that is larger alone is not kept
-- ARGV[4]  how long a message is kept, in milliseconds
-- ARGV[5]  how long hop and number outlive their last use, in milliseconds
-- Reply    its script's
--
-- publish(hop, counter, channel)  publishes the envelope to a node, keeps it in the node's hop, from where a
--                                 listener that was cut off repairs, and answers how many subscribers there were
--
-- What goes out is "m", the entry's id ("0-0" when it is not kept), a space, the number, a space, the envelope.
-- Numbers have no holes, so that who has one knows what it missed. They begin at Redis's clock in microseconds:
-- less than a million messages a second are published to a node, so those of a life that Redis has lost ended
-- below. Bytes are looked at with each 256th message and each that is 1/256 of what the hop keeps, so the hop never
-- holds twice that; old entries with each 64th, and when nobody listens, who would look himself (bus_probe).

local function trim(hop, bytes_max)
    repeat
        local used = redis.call('MEMORY', 'USAGE', hop, 'SAMPLES', 0)
        if used <= bytes_max then return end
        local left = math.floor(redis.call('XLEN', hop) * bytes_max / used * 0.9)
    until redis.call('XTRIM', hop, 'MAXLEN', '~', math.max(1, left)) == 0
end

local function publish(hop, counter, channel)
    local number = redis.call('INCR', counter)
    if number == 1 then
        local time = redis.call('TIME')
        number = time[1] * 1000000 + time[2]
        redis.call('SET', counter, string.format('%.0f', number))
    end
    local text = string.format('%.0f', number)

    local id = '0-0'
    local bytes, bytes_max = #ARGV[1], tonumber(ARGV[3])
    if bytes <= bytes_max then
        id = redis.call('XADD', hop, 'MAXLEN', '~', ARGV[2], '*', 'n', text, 'e', ARGV[1])
        if number % 256 == 0 or bytes * 256 > bytes_max then trim(hop, bytes_max) end
    end

    local listeners = redis.call('PUBLISH', channel, 'm' .. id .. ' ' .. text .. ' ' .. ARGV[1])
    if listeners == 0 or number % 64 == 0 then
        local now = tonumber(string.match(id, '^%d+'))
        if now > 0 then
            redis.call('XTRIM', hop, 'MINID', '~', string.format('%.0f', math.max(0, now - tonumber(ARGV[4]))))
        end
        redis.call('PEXPIRE', hop, ARGV[5])
        redis.call('PEXPIRE', counter, ARGV[5])
    end
    return listeners
end

