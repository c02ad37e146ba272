-- Gives a claim back without an answer: whoever asks next sends the same push at once.
--
-- KEYS[1]   herald:once:{key}, a hash
-- ARGV[1]   holder
-- Reply     1 when the claim was this holder's, else 0

if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'lease', '0')
return 1
