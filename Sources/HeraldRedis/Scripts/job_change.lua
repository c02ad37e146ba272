-- Pauses, resumes, cancels, requeues or deletes a job.
--
-- KEYS[1]  herald:jobs:{3}; job_words.lua names the rest
-- ARGV[1]  the job
-- ARGV[2]  `pause`, `resume`, `cancel`, `requeue` or `delete`
-- Reply    {1, state after it}, {0, state} when that is not possible in this state; nil when there is no such job
--
-- What is as asked for already is done. A worker that runs the job is told by its next call, and what it has just
-- finished still counts: pausing leaves the fencing number as it is.

local id = ARGV[1]
local stored = redis.call('HMGET', job(id), 'state', 'due')
local state, due = stored[1], tonumber(stored[2] or 0)
if not state then return false end

local unfinished = state == 'scheduled' or state == 'queued' or state == 'running' or state == 'retrying'
if ARGV[2] == 'pause' and unfinished then
    unlist(id)
    if state == 'scheduled' then redis.call('HSET', job(id), 'due', text(due)) end
    move(id, state, 'paused')
    return { 1, 'paused' }
elseif ARGV[2] == 'pause' and state == 'paused' then
    return { 1, state }
elseif ARGV[2] == 'resume' and state == 'paused' then
    local waits = due > now
    if waits then schedule(id, state, 'scheduled', due) else enlist(id, state) end
    redis.call('HSET', job(id), 'tries', 0)
    return { 1, waits and 'scheduled' or 'queued' }
elseif ARGV[2] == 'resume' and unfinished then
    return { 1, state }
elseif ARGV[2] == 'cancel' and (unfinished or state == 'paused') then
    finish(id, state, 'cancelled')
    return { 1, 'cancelled' }
elseif ARGV[2] == 'cancel' and state == 'cancelled' then
    return { 1, state }
elseif ARGV[2] == 'requeue' and state == 'dead' then
    enlist(id, state)
    redis.call('HSET', job(id), 'tries', 0)
    return { 1, 'queued' }
elseif ARGV[2] == 'delete' and (state == 'done' or state == 'cancelled' or state == 'dead') then
    forget(id, state)
    return { 1, '' }
end
return { 0, state }
