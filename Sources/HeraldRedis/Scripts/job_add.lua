-- Takes a job in whose targets have been written already.
--
-- KEYS[1]  herald:jobs:{3}; job_words.lua names the rest
-- KEYS[2]  the hash that they were written to; gone afterwards, whatever happens
-- ARGV[1]  the job
-- ARGV[2]  its message
-- ARGV[3]  its steps
-- ARGV[4]  its targets
-- ARGV[5]  what it holds, in bytes
-- ARGV[6]  targets a second at most, 0 for no limit
-- ARGV[7]  when it is to be queued, in milliseconds; 0 for at once
-- ARGV[8]  unfinished and dead jobs that this partition may have
-- ARGV[9]  their bytes
-- ARGV[10] a digest of the request, empty for none
-- Reply    its state; `jobs` or `bytes` when there is no room; `steps` when its targets are not all there;
--          `mismatch` when the job is there and another request made it
--
-- The same job again is answered with where it stands, and nothing of it is touched.

local id = ARGV[1]
local known = redis.call('HMGET', job(id), 'state', 'digest')
if known[1] then
    redis.call('UNLINK', KEYS[2])
    local isOther = known[2] and known[2] ~= '' and ARGV[10] ~= '' and known[2] ~= ARGV[10]
    return isOther and 'mismatch' or known[1]
end

local waiting = redis.call('ZCARD', base .. ':all') - redis.call('ZCARD', base .. ':done')
    - redis.call('ZCARD', base .. ':cancelled')
local refusal
if waiting >= tonumber(ARGV[8]) then refusal = 'jobs' end
local bytes = tonumber(redis.call('HGET', base .. ':sums', 'bytes') or 0)
if bytes + tonumber(ARGV[5]) > tonumber(ARGV[9]) then refusal = 'bytes' end
if redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[3]) then refusal = 'steps' end
if refusal then
    redis.call('UNLINK', KEYS[2])
    return refusal
end

redis.call('RENAME', KEYS[2], steps(id))
redis.call('PERSIST', steps(id))
redis.call('HINCRBY', base .. ':sums', 'bytes', ARGV[5])
redis.call('HSET', job(id),
    'message', ARGV[2], 'steps', ARGV[3], 'targets', ARGV[4], 'bytes', ARGV[5], 'rate', ARGV[6],
    'digest', ARGV[10], 'created', text(now), 'step', 0, 'done', 0, 'tries', 0, 'fence', 0, 'worker', '',
    'failure', '', 'verdicts', '')
redis.call('ZADD', base .. ':all', text(now), id)
if tonumber(ARGV[7]) > now then
    schedule(id, 'new', 'scheduled', tonumber(ARGV[7]))
    return 'scheduled'
end
enlist(id, 'new')
return 'queued'
