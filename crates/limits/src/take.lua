-- Asks for ARGV[1] of every rate in KEYS, all or nothing, by this server's clock.
-- For each key come, in ARGV, its interval in microseconds and its burst. What is kept of a rate is one moment, in
-- microseconds since 2026: the time since 1970 would leave no digits for the fractions of fast rates.
-- Answers 1 or 0, then for each key: whether it allows, how far its moment lies ahead, and how long to wait; in
-- microseconds, -1 for a wait that never ends.
local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1767225600) * 1000000 + tonumber(time[2])
local count = tonumber(ARGV[1])
local allowed, before, after, answer = 1, {}, {}, {}
for index, key in ipairs(KEYS) do
    local interval, burst = tonumber(ARGV[2 * index]), tonumber(ARGV[2 * index + 1])
    local most = interval * burst
    local moment = tonumber(redis.call('GET', key) or now)
    if moment < now then moment = now end
    -- Of another limit of this name, or of another clock.
    if moment > now + 2 * most then moment = now end
    before[index], after[index] = moment, moment + interval * count
    -- A thousandth of one: what is lost to the rounding of many additions.
    local late = after[index] - now - most - interval / 1000
    local one, wait = 1, 0
    if late > 0 then
        one, allowed, wait = 0, 0, -1
        if count <= burst then wait = math.ceil(late) end
    end
    answer[3 * index - 2], answer[3 * index] = one, wait
end
local kept = before
if allowed == 1 then kept = after end
for index, key in ipairs(KEYS) do
    local ahead = kept[index] - now
    answer[3 * index - 1] = math.ceil(ahead)
    if allowed == 1 and count > 0 then
        redis.call('SET', key, string.format('%.17g', kept[index]), 'PX', math.ceil(ahead / 1000) + 1000)
    end
end
table.insert(answer, 1, allowed)
return answer
