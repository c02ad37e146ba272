-- What the scripts that change routes have in common: the clock, reading and writing a mapping, and telling an
-- event in the very step that makes it true. No script of its own: its text goes in front of theirs.
--
-- KEYS[1]    its script's: herald:user:{alice}, a hash: key -> "cloud-1#7.42 EPOCH EXPIRES", or within the grace
--            of a departure "~cloud-1#7.42 EPOCH DUE reason", which is no mapping for anybody who looks up
-- KEYS[2]    herald:events:{3}, the stream of the user's partition; absent where no events are written
-- KEYS[3]    herald:held:{3}, a zset: "alice/phone" -> when its departure is told
-- KEYS[4]    herald:on:{3}:, what the names of the partition's indexes begin with: herald:on:{3}:cloud-1#7 is the
--            set of all "alice/phone" that have a mapping of that incarnation
-- ARGV[#ARGV]  how many events the stream keeps
-- Reply      its script's
--
-- Told is a key from its `connected` to its `disconnected`, and so long its field stands in the hash: as a mapping,
-- which may be over, or as a departure. So the hash's length is how many connections of the user are told. With
-- events the hash lives an hour longer than its last field, so that somebody finds what is over and tells it.
--
-- now                     Redis's time in milliseconds
-- tells, told             whether events are written; how many this call has written
-- whole(number)           its digits
-- read(text)              session, epoch, end, reason (of a departure; else nil); nil for what is not Herald's
-- index(session)          the index of its incarnation
-- keep(hash, ends)        makes the hash live as long as a field that ends then
-- emit(hash, user, key, kind, session, epoch, word, value)  writes an event
-- depart(hash, user, key, session, epoch, due, reason)      ends a mapping: told now, or when `due` has come
-- took(hash, user, key, session, epoch, holder, departed, isSame)  says that a session holds the key after what
--                         stood there, and answers 1 when it came back within the grace
-- others(hash, key)       the valid mappings of the user's other keys, oldest first

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tells, told = KEYS[2] ~= nil, 0

local function whole(number) return string.format('%.0f', number) end

local function read(text)
    if string.byte(text) == 126 then
        return string.match(text, '^~(%S+#%d+%.%d+) (%d+) (%d+) (%S+)$')
    end
    return string.match(text, '^(%S+#%d+%.%d+) (%d+) (%d+)$')
end

local function index(session) return KEYS[4] .. string.match(session, '^(.*)%.') end

local function keep(hash, ends)
    if tells then ends = ends + 3600000 end
    local left = redis.call('PTTL', hash)
    if left < 0 or now + left < ends then redis.call('PEXPIREAT', hash, whole(ends)) end
end

local function emit(hash, user, key, kind, session, epoch, word, value)
    local event = {
        'XADD', KEYS[2], 'MAXLEN', '~', ARGV[#ARGV], '*', 'type', kind, 'user', user, 'key', key,
        'session', session, 'epoch', epoch, 'connections', redis.call('HLEN', hash), 'at', whole(now), word, value }
    redis.call(unpack(event))
    told = told + 1
end

local function depart(hash, user, key, session, epoch, due, reason)
    local member = user .. '/' .. key
    redis.call('SREM', index(session), member)
    if due > now then
        redis.call('HSET', hash, key, '~' .. session .. ' ' .. epoch .. ' ' .. whole(due) .. ' ' .. reason)
        redis.call('ZADD', KEYS[3], whole(due), member)
        keep(hash, due)
    else
        redis.call('HDEL', hash, key)
        emit(hash, user, key, 'disconnected', session, epoch, 'reason', reason)
    end
end

local function took(hash, user, key, session, epoch, holder, departed, isSame)
    local member, own = user .. '/' .. key, index(session)
    local isNew = redis.call('SADD', own, member) == 1
    if departed then return redis.call('ZREM', KEYS[3], member) end
    if holder then
        local before = index(holder)
        if before ~= own then redis.call('SREM', before, member) end
        if not isSame then emit(hash, user, key, 'replaced', session, epoch, 'previous', holder) end
    elseif isNew then
        emit(hash, user, key, 'connected', session, epoch)
    end
    return 0
end

local function others(hash, key)
    local fields, found = redis.call('HGETALL', hash), {}
    for at = 1, #fields, 2 do
        local session, epoch, ends, reason = read(fields[at + 1])
        if session and not reason and tonumber(ends) > now and fields[at] ~= key then
            table.insert(found, { key = fields[at], text = fields[at + 1], session = session, epoch = epoch })
        end
    end
    table.sort(found, function(a, b)
        if a.epoch ~= b.epoch then return tonumber(a.epoch) < tonumber(b.epoch) end
        return a.key < b.key
    end)
    return found
end

