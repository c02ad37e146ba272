-- Looks at a page of an incarnation's index for connections that are over.
--
-- KEYS[1]  herald:user:, what the names of the users' hashes begin with
-- KEYS[2]… as presence.lua says
-- ARGV[1]  the incarnation, `cloud-1#7`
-- ARGV[2]  `dead` or `live`
-- ARGV[3]  of a dead one: when the departures are told, in milliseconds of Redis's clock; at once when that is past.
--          Of a live one: for how many milliseconds a mapping must have been over
-- ARGV[4]  where the page begins, 0 for the first
-- ARGV[5]  about so many names
-- ARGV[6]  how many events are kept
-- Reply    {where the next page begins, 0 after the last; names looked at; departures begun; events told}
--
-- A dead incarnation's index is emptied: every mapping of it departs; a name without anything in its hash was told
-- `connected`, so it is told `disconnected`; a name that another incarnation holds, or whose departure waits, goes.
-- Of a live incarnation only what nobody renewed departs. The index is asked before anything is told, since one page
-- may show a name twice.

local on, isDead, limit = KEYS[4] .. ARGV[1], ARGV[2] == 'dead', tonumber(ARGV[3])
local page = redis.call('SSCAN', on, ARGV[4], 'COUNT', ARGV[5])
local departed = 0
for _, member in ipairs(page[2]) do
    local user, key = string.match(member, '^(.*)/([^/]*)$')
    local hash = KEYS[1] .. '{' .. user .. '}'
    local stored = redis.pcall('HGET', hash, key)
    local session, epoch, ends, reason
    if type(stored) == 'string' then session, epoch, ends, reason = read(stored) end
    local isOwn = session and not reason and index(session) == on
    if isDead and redis.call('SREM', on, member) == 1 then
        if isOwn then
            depart(hash, user, key, session, epoch, limit, 'node_lost')
            departed = departed + 1
        elseif not stored then
            emit(hash, user, key, 'disconnected', ARGV[1] .. '.0', '0', 'reason', 'node_lost')
            departed = departed + 1
        end
    elseif isOwn and not isDead and tonumber(ends) + limit < now then
        depart(hash, user, key, session, epoch, 0, 'lapsed')
        departed = departed + 1
    end
end
return { page[1], #page[2], departed, told }
