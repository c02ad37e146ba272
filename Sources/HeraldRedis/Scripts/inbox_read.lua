-- Reads what came after a place of an inbox, and says whether all of it is there.
--
-- KEYS[1]  herald:inbox:{alice}, a stream (inbox_append.lua says more of both)
-- KEYS[2]  herald:inbox:{alice}:head, a hash
-- ARGV[1]  the run of this Redis
-- ARGV[2]  how long an inbox is kept, in milliseconds
-- ARGV[3]  the epoch of the place; empty when only the end is asked for, or the oldest messages
-- ARGV[4]  its offset
-- ARGV[5]  at most so many messages; 0 for none
-- ARGV[6]  1 for what is there also when something is missing
-- Reply    epoch and offset of the end, 1 when nothing is missing behind the place or none was given, the entries
--
-- An inbox that is not there begins here, so that who reads before the first message can be told that it missed
-- none. Another run of Redis may have lost messages that nobody can know of, so it begins here too, if nothing was
-- appended in it yet. When Redis is full neither can be written: then the end is one that nothing continues.
--
-- A page ends after a mebibyte: some large messages are enough for one reply.

local time = redis.call('TIME')
local now, keep = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[2])
local function whole(number) return string.format('%.0f', number) end

local head = redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'run', 'since')
local epoch, offset, since = head[1], tonumber(head[2]), tonumber(head[4])
local there, written = epoch, nil

if not epoch then
    epoch, offset, since = whole(now), 0, 0
    written = redis.pcall('HSET', KEYS[2], 'epoch', epoch, 'offset', 0, 'run', ARGV[1], 'since', 0,
        'oldest', epoch)
elseif head[3] ~= ARGV[1] then
    offset = offset + 1000000
    since = offset
    written = redis.pcall('HSET', KEYS[2], 'offset', whole(offset), 'run', ARGV[1], 'since', whole(offset))
end
if type(written) == 'table' and written.err then
    epoch = '0'
elseif redis.call('PTTL', KEYS[2]) < keep then
    redis.call('PEXPIRE', KEYS[2], whole(math.ceil(keep * 17 / 16)))
end
if not there then
    if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('XLEN', KEYS[1]) >= 0 then redis.call('DEL', KEYS[1]) end
end

local from, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local complete = ARGV[3] == '' or ARGV[3] == epoch and from >= since and from <= offset
if limit == 0 or not complete and ARGV[6] ~= '1' then return { epoch, whole(offset), complete and 1 or 0, {} } end
if ARGV[3] ~= epoch then from = 0 end

local entries, bytes, start = {}, 0, whole(from + 1)
while from < offset and #entries < limit and bytes < 1048576 do
    local part = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', math.min(16, limit - #entries))
    for _, entry in ipairs(part) do
        if bytes >= 1048576 then break end
        for _, word in ipairs(entry[2]) do bytes = bytes + #word end
        table.insert(entries, entry)
    end
    if #part < 16 then break end
    start = '(' .. entries[#entries][1]
end
if complete and ARGV[3] ~= '' and from < offset and (not entries[1] or entries[1][1] ~= whole(from + 1) .. '-0') then
    complete = false
    if ARGV[6] ~= '1' then entries = {} end
end
return { epoch, whole(offset), complete and 1 or 0, entries }
