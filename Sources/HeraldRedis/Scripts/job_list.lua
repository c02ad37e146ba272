-- Reads a page of jobs, newest first.
--
-- KEYS[1]  herald:jobs:{3}; job_words.lua names the rest
-- ARGV[1]  `all` or a state
-- ARGV[2]  the page begins behind a job of this time, in milliseconds; `+inf` to begin
-- ARGV[3]  and of this id
-- ARGV[4]  how many jobs at most
-- ARGV     then the fields that are wanted of each
-- Reply    for each job {id, the time by which it stands here, its fields}

local fields = { unpack(ARGV, 5) }
local limit, found, offset = tonumber(ARGV[4]), {}, 0
repeat
    local rows = redis.call('ZREVRANGEBYSCORE', base .. ':' .. ARGV[1], ARGV[2], '-inf',
        'WITHSCORES', 'LIMIT', offset, 200)
    for index = 1, #rows, 2 do
        local id, at = rows[index], rows[index + 1]
        if #found < limit and (at ~= ARGV[2] or id < ARGV[3]) then
            found[#found + 1] = { id, at, redis.call('HMGET', job(id), unpack(fields)) }
        end
    end
    offset = offset + 200
until #found >= limit or #rows < 400
return found
