-- Tells the answer that an idempotency key stands for from now on. The first answer stays.
--
-- KEYS[1]   herald:once:{key}, a hash
-- ARGV[1]   digest of the request
-- ARGV[2]   the answer
-- ARGV[3]   how long it is remembered, in milliseconds
-- Reply     1 when it is this answer that stays, else 0

if redis.call('HGET', KEYS[1], 'digest') ~= ARGV[1] then return 0 end
local isFirst = redis.call('HSETNX', KEYS[1], 'answer', ARGV[2])
if isFirst == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return isFirst
