-- Takes a node that left out of the list of nodes, unless a later run of it is listed already.
--
-- KEYS[1]  herald:nodes, a zset: node -> lease deadline
-- ARGV[1]  node
-- ARGV[2]  the deadline of the lease that was given back
-- Reply    1 when it was taken out, else 0

local deadline = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not deadline or tonumber(deadline) > tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
