-- Takes or extends the right to do something alone, or gives it back.
--
-- KEYS[1]  the right, a string: who has it
-- ARGV[1]  who asks
-- ARGV[2]  for how long, in milliseconds; 0 to give it back
-- Reply    1 when the asking one has it (or had it, and gave it back), else 0

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] ~= '0' then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
elseif holder then
    redis.call('DEL', KEYS[1])
end
return (holder or ARGV[2] ~= '0') and 1 or 0
