-- Takes a job in whose targets have been written already.
--
-- KEYS[1]  herald:jobs:{3}; job_words.lua names the rest
-- ARGV[1]  the job
-- ARGV[2]  its message
-- ARGV[3]  its steps
-- ARGV[4]  its targets
-- ARGV[5]  what it holds, in bytes
-- ARGV[6]  targets a second at most, 0 for no limit
-- ARGV[7]  when it is to be queued, in milliseconds; 0 for at once
-- ARGV[8]  unfinished and dead jobs that this partition may have
-- ARGV[9]  their bytes
-- Reply    its state; `jobs` or `bytes` when there is no room; `steps` when its targets are not all there
--
-- The same job again is answered with where it stands.

local id = ARGV[1]
local state = redis.call('HGET', job(id), 'state')
if state then return state end

local waiting = redis.call('ZCARD', base .. ':all') - redis.call('ZCARD', base .. ':done')
    - redis.call('ZCARD', base .. ':cancelled')
local refusal
if waiting >= tonumber(ARGV[8]) then refusal = 'jobs' end
local bytes = tonumber(redis.call('HGET', base .. ':sums', 'bytes') or 0)
if bytes + tonumber(ARGV[5]) > tonumber(ARGV[9]) then refusal = 'bytes' end
if redis.call('HLEN', steps(id)) ~= tonumber(ARGV[3]) then refusal = 'steps' end
if refusal then
    redis.call('DEL', steps(id))
    return refusal
end

redis.call('PERSIST', steps(id))
redis.call('HINCRBY', base .. ':sums', 'bytes', ARGV[5])
redis.call('HSET', job(id),
    'message', ARGV[2], 'steps', ARGV[3], 'targets', ARGV[4], 'bytes', ARGV[5], 'rate', ARGV[6],
    'created', text(now), 'step', 0, 'done', 0, 'tries', 0, 'fence', 0, 'worker', '', 'failure', '', 'verdicts', '')
redis.call('ZADD', base .. ':all', text(now), id)
if tonumber(ARGV[7]) > now then
    schedule(id, 'new', 'scheduled', tonumber(ARGV[7]))
    return 'scheduled'
end
enlist(id, 'new')
return 'queued'
