-- Tells the departures of a partition whose grace is over.
--
-- KEYS[1]  herald:user:, what the names of the users' hashes begin with
-- KEYS[2]… as presence.lua says
-- ARGV[1]  at most so many
-- ARGV[2]  how many events are kept
-- Reply    {how many were due and are settled, how many of these were told, how late the oldest was in milliseconds}
--
-- The list says where to look, the hash what is true: a key that came back is told nothing.

local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', whole(now), 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for at = 1, #due, 2 do
    local user, key = string.match(due[at], '^(.*)/([^/]*)$')
    local hash = KEYS[1] .. '{' .. user .. '}'
    local stored = redis.pcall('HGET', hash, key)
    local session, epoch, ends, reason
    if type(stored) == 'string' then session, epoch, ends, reason = read(stored) end
    if reason and tonumber(ends) > now then
        redis.call('ZADD', KEYS[3], ends, due[at])
    else
        redis.call('ZREM', KEYS[3], due[at])
        if reason then
            redis.call('HDEL', hash, key)
            emit(hash, user, key, 'disconnected', session, epoch, 'reason', reason)
        end
    end
end
return { #due / 2, told, due[2] and now - tonumber(due[2]) or 0 }
