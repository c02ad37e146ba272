-- Extends a node's lease, if it is still this incarnation's and has not lapsed, and tells the node's load.
--
-- KEYS[1]   herald:node:{cloud-1}, a hash
-- ARGV[1]   incarnation
-- ARGV[2]   how long the lease lives from now, in milliseconds
-- ARGV[3]   url
-- ARGV[4]   region
-- ARGV[5]   weight
-- ARGV[6]   version
-- ARGV[7]   connections
-- ARGV[8]   users
-- ARGV[9]   rooms
-- ARGV[10]  state, `live` or `draining`
-- ARGV[11]  capacity: how many connections it takes, 0 when that is not known
-- Reply     the new deadline; nil when the lease is lost

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local stored = redis.call('HMGET', KEYS[1], 'incarnation', 'deadline')
if stored[1] ~= ARGV[1] or tonumber(stored[2] or 0) <= now then return false end

local deadline = now + tonumber(ARGV[2])
redis.call('HSET', KEYS[1],
    'deadline', string.format('%.0f', deadline), 'url', ARGV[3], 'region', ARGV[4], 'weight', ARGV[5],
    'version', ARGV[6], 'connections', ARGV[7], 'users', ARGV[8], 'rooms', ARGV[9], 'state', ARGV[10],
    'capacity', ARGV[11])
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', deadline + 3600000))
return deadline
