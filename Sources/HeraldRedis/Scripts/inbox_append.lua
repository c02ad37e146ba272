-- Stores a message in an inbox: gives it the next offset, trims what is too many or too old, knows a repeat.
--
-- KEYS[1]  herald:inbox:{alice}, a stream: the message with the offset 42 is the entry 42-0
-- KEYS[2]  herald:inbox:{alice}:head, a hash: epoch, offset (of the newest), run (of Redis, that wrote last), since
--          (the offset with which that run began), oldest (a time that the oldest message is not older than)
-- ARGV[1]  the run of this Redis
-- ARGV[2]  how many messages the inbox keeps at least
-- ARGV[3]  how long it keeps them, in milliseconds
-- ARGV[4]  1 when this push may have been stored before: then it is looked for among the last 64
-- ARGV[5]  the push
-- ARGV[6]  ... the rest of the entry: fields and their values, in turn
-- Reply    epoch, offset, 1; or 0 instead of the 1 when it was there already
--
-- Offsets are never given twice in an epoch. Another run may have lost the last writes of the one before, so with it
-- they jump by a million. The stream is written before the head, and nothing before the stream: so Redis refuses
-- the whole when it is full, or when what stands there is no stream.
--
-- Too many go by the block (`~`): Redis does not free a part of one anyway. The oldest are looked at only when the
-- oldest may be too old, and at most eight go with one message. Redis spends 11 us on a message of 200 bytes and
-- keeps 265 bytes for it.

local time = redis.call('TIME')
local now, keep = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[3])
local function whole(number) return string.format('%.0f', number) end

local head = redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'run', 'since', 'oldest')
local epoch, offset, since = head[1], tonumber(head[2]), head[4]

if epoch and ARGV[4] == '1' then
    local last = '+'
    for _ = 1, 8 do
        local entries = redis.call('XREVRANGE', KEYS[1], last, '-', 'COUNT', 8)
        for _, entry in ipairs(entries) do
            if entry[2][2] == ARGV[5] then return { epoch, string.match(entry[1], '^%d+'), 0 } end
            last = '(' .. entry[1]
        end
        if #entries < 8 then break end
    end
end

if not epoch then
    if redis.call('XLEN', KEYS[1]) >= 0 and redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
    epoch, offset, since = whole(now), 0, '0'
elseif head[3] ~= ARGV[1] then
    offset = offset + 1000000
    since = whole(offset)
end
offset = offset + 1
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], whole(offset) .. '-0',
    'push', ARGV[5], 'at', whole(now), unpack(ARGV, 6))

local oldest = tonumber(head[5] or now)
if oldest + keep <= now then
    local from = '-'
    for _ = 1, 8 do
        local first = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
        oldest = tonumber(first[2][4])
        if oldest + keep > now then break end
        redis.call('XDEL', KEYS[1], first[1])
        from = '(' .. first[1]
    end
end

if head[3] == ARGV[1] and tonumber(head[5]) == oldest then
    redis.call('HSET', KEYS[2], 'offset', whole(offset))
else
    redis.call('HSET', KEYS[2], 'epoch', epoch, 'offset', whole(offset), 'run', ARGV[1], 'since', since,
        'oldest', whole(oldest))
end
for _, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < keep then redis.call('PEXPIRE', key, whole(math.ceil(keep * 17 / 16))) end
end
return { epoch, whole(offset), 1 }
