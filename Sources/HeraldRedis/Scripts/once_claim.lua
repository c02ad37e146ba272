-- Asks for the right to send what an idempotency key stands for.
--
-- KEYS[1]   herald:once:{key}, a hash: digest, push, holder, lease (when it is over), answer
-- ARGV[1]   digest of the request
-- ARGV[2]   the id that the push gets if nobody sent it before
-- ARGV[3]   holder
-- ARGV[4]   how long the lease lives, in milliseconds
-- ARGV[5]   how long the claim is remembered, in milliseconds
-- Reply     {'claimed', push}; {'again', push} when somebody may have sent it before; {'held', push, milliseconds
--           left}; {'answered', answer}; {'mismatch'}

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local stored = redis.call('HMGET', KEYS[1], 'digest', 'push', 'lease', 'answer')
local word, push = 'claimed', ARGV[2]
if stored[1] then
    if stored[1] ~= ARGV[1] then return {'mismatch'} end
    if stored[4] then return {'answered', stored[4]} end
    local left = tonumber(stored[3]) - now
    if left > 0 then return {'held', stored[2], left} end
    word, push = 'again', stored[2]
end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'push', push, 'holder', ARGV[3],
    'lease', string.format('%.0f', now + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {word, push}
