-- Renews a claim, saves a finished step, and says what comes next.
--
-- KEYS[1]  herald:jobs:{3}; job_words.lua names the rest
-- ARGV[1]  the job
-- ARGV[2]  the claim's fencing number
-- ARGV[3]  the step that is finished; -1 for none
-- ARGV[4]  its targets
-- ARGV[5]  1 when the next step's targets are wanted, else 0
-- ARGV     then pairs: a verdict, how many targets got it
-- Reply    {'run', step, its targets or nil}, {'on'}, {'done'}, or {'stop', the job's state or ''}
--
-- A step that the claim's holder finished is counted whatever the state is, because it went out. A repeated call
-- finds the step counted already.

local id = ARGV[1]
local stored = redis.call('HMGET', job(id), 'state', 'fence', 'step', 'steps', 'entry', 'worker', 'verdicts')
local state, step, all = stored[1], tonumber(stored[3]), tonumber(stored[4])
if not state then return { 'stop', '' } end
if stored[2] ~= ARGV[2] then return { 'stop', state } end

-- First, because it needs no memory. It changes nothing where the entry is not being worked on.
redis.pcall('XCLAIM', base, group, stored[6], 0, stored[5], 'JUSTID')
if tonumber(ARGV[3]) == step and step < all then
    step = step + 1
    local verdicts = {}
    for verdict, count in string.gmatch(stored[7], '(%S+)=(%d+)') do verdicts[verdict] = tonumber(count) end
    for index = 6, #ARGV, 2 do
        verdicts[ARGV[index]] = (verdicts[ARGV[index]] or 0) + tonumber(ARGV[index + 1])
    end
    local words = {}
    for verdict, count in pairs(verdicts) do words[#words + 1] = verdict .. '=' .. text(count) end
    table.sort(words)
    redis.call('HSET', job(id), 'step', step, 'tries', 1, 'verdicts', table.concat(words, ' '))
    redis.call('HINCRBY', job(id), 'done', ARGV[4])
end

if state == 'done' then return { 'done' } end
if state ~= 'running' then return { 'stop', state } end
if step >= all then
    finish(id, state, 'done')
    return { 'done' }
end
if ARGV[5] == '1' then return { 'run', step, redis.call('HGET', steps(id), step) } end
return { 'on' }
