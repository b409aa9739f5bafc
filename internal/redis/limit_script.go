package redis

// What takeScript answers.
const (
	refused  = 0
	granted  = 1
	full     = 2 // the lease refused
	elsewhen = 3 // Redis's minute is not among the keys
)

// takeScript decides over buckets and a lease, all or nothing, by Redis's clock.
//
// KEYS: for each bucket its keys of four minutes, the first of them number
// ARGV[1]; then the lease's, if there is one.
// ARGV: 1 first minute; 2 now in milliseconds, or empty for the server's; 3 number
// of buckets; then for each its limit and what it takes; then for the lease how
// many, how many there are, milliseconds to live, and its name.
// Answer: 1 granted, 0 refused, 2 crowded, 3 another minute; now; then for each
// bucket the units of the last minute and of this one.
const takeScript = `
local first, now, n = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
	local t = redis.call('TIME')
	now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local minute, gone = math.floor(now / 60000), now % 60000
local at = minute - first
if at < 1 or at > 3 then return {3, now} end
local granted, crowded, taken = true, false, 0
local function key(i, back) return KEYS[4 * (i - 1) + at + 1 - back] end
local function units(i, back) return tonumber(redis.call('GET', key(i, back)) or '0') end
for i = 1, n do
	local max, take = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
	if units(i, 1) * (60000 - gone) + units(i, 0) * 60000 > (max - take) * 60000 then
		granted = false
		break
	end
	if take > 0 then
		redis.call('INCRBY', key(i, 0), take)
		redis.call('PEXPIRE', key(i, 0), 120000)
	end
	taken = i
end
local lease = KEYS[4 * n + 1]
if granted and lease then
	local need, places = tonumber(ARGV[4 + 2 * n]), tonumber(ARGV[5 + 2 * n])
	redis.call('ZREMRANGEBYSCORE', lease, '-inf', now)
	if need < 0 or places > 0 and redis.call('ZCARD', lease) + need > places then
		granted, crowded = false, true
	else
		for p = 1, need do redis.call('ZADD', lease, now + ARGV[6 + 2 * n], ARGV[7 + 2 * n] .. ':' .. p) end
		redis.call('PEXPIRE', lease, 2 * ARGV[6 + 2 * n])
	end
end
if not granted then
	for i = 1, taken do
		local take = tonumber(ARGV[3 + 2 * i])
		if take > 0 then redis.call('DECRBY', key(i, 0), take) end
	end
end
local answer = {granted and 1 or crowded and 2 or 0, now}
for i = 1, n do
	answer[#answer + 1] = units(i, 1)
	answer[#answer + 1] = units(i, 0)
end
return answer`

// giveBackScript undoes a grant: in a cluster the keys of a call are in several
// places, and one of them may refuse what another granted.
// KEYS: buckets of the minute, then the lease's. ARGV: number of buckets, units
// of each, name and number of the lease.
const giveBackScript = `
local n = tonumber(ARGV[1])
for i = 1, n do
	if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('DECRBY', KEYS[i], ARGV[1 + i]) end
end
if KEYS[n + 1] then
	for p = 1, tonumber(ARGV[n + 3]) do redis.call('ZREM', KEYS[n + 1], ARGV[n + 2] .. ':' .. p) end
end
return 1`

// renewScript makes a lease last longer, if it is not over.
// KEYS: lease. ARGV: milliseconds to live, name, number.
const renewScript = `
local t = redis.call('TIME')
local till = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
for p = 1, tonumber(ARGV[3]) do redis.call('ZADD', KEYS[1], 'XX', till, ARGV[2] .. ':' .. p) end
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[1])
return 1`
