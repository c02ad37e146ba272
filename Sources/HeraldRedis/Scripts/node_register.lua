-- Takes a node's lease for a new incarnation, unless another run of the same name holds it.
--
-- KEYS[1]  herald:node:{cloud-1}, a hash
-- ARGV[1]  how long the lease lives, in milliseconds
-- ARGV[2]  a number drawn for this call, so that its repetition after a lost reply is not refused by itself
-- ARGV[3]  url
-- ARGV[4]  region
-- ARGV[5]  weight
-- ARGV[6]  version
-- ARGV[7]  the last incarnation that the caller had, 0 when it had none: Redis may have lost it
-- ARGV[8]  capacity: how many connections it takes, 0 when that is not known
-- Reply    {1, incarnation, deadline}; or {0, incarnation, url, milliseconds left} of who holds the lease
--
-- The hash outlives the lease by an hour, for its incarnation alone: so the next one is larger even when Redis's
-- clock was set back. A lease is judged by `deadline`, never by the hash being there.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local stored = redis.call('HMGET', KEYS[1], 'incarnation', 'deadline', 'claim', 'url')
local incarnation, deadline = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
if deadline > now then
    if stored[3] ~= ARGV[2] then return { 0, incarnation, stored[4] or '', deadline - now } end
else
    incarnation = math.max(now, incarnation + 1, tonumber(ARGV[7]) + 1)
end

deadline = now + tonumber(ARGV[1])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1],
    'incarnation', string.format('%.0f', incarnation), 'deadline', string.format('%.0f', deadline),
    'claim', ARGV[2], 'url', ARGV[3], 'region', ARGV[4], 'weight', ARGV[5], 'version', ARGV[6],
    'capacity', ARGV[8],
    'connections', 0, 'users', 0, 'rooms', 0, 'state', 'live', 'started', string.format('%.0f', now))
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', deadline + 3600000))
return { 1, incarnation, deadline }
