-- Takes tokens from a bucket exactly as mock_server/bucket.py does, unless the settings have changed.
-- KEYS: the settings' version, the hash with the bucket, the hash of the account, the set of all such hashes
-- ARGV: the version that the caller goes by ("*": any), the bucket's field, now in ticks, its rate as MANTISSA and
--       SHIFT (parts a tick = MANTISSA / 2^SHIFT), its capacity and first level in parts, the parts to take
-- Returns whether they were there, the level, since when (ticks), and the account's version; nothing if stale.

if ARGV[1] ~= '*' and ARGV[1] ~= (redis.call('GET', KEYS[1]) or '') then
  return false
end

-- A Lua number is exact up to 2^53 and the product below has twice the digits: it is kept in digits of 18 bits.
local DIGIT = 2 ^ 18

local function digits(number)
  return {number % DIGIT, math.floor(number / DIGIT) % DIGIT, math.floor(number / DIGIT / DIGIT)}
end

local function product(a, b)
  local result = {0, 0, 0, 0, 0, 0}
  for i, x in ipairs(digits(a)) do
    for j, y in ipairs(digits(b)) do
      local sum = result[i + j - 1] + x * y
      result[i + j - 1] = sum % DIGIT
      result[i + j] = result[i + j] + math.floor(sum / DIGIT)
    end
  end
  return result
end

local function shifted(number, shift)
  local result, rest = 0, 0
  for i = #number, math.floor(shift / 18) + 1, -1 do
    local digit = rest * DIGIT + number[i]
    rest = digit % 2 ^ (shift % 18)
    result = result * DIGIT + (digit - rest) / 2 ^ (shift % 18)
  end
  return result
end

local now, capacity, cost = tonumber(ARGV[3]), tonumber(ARGV[6]), tonumber(ARGV[8])
local level, since = tonumber(ARGV[7]), now
local kept = redis.call('HGET', KEYS[2], ARGV[2])
if kept then
  level, since = kept:match('(%S+) (%S+)')
  level, since = tonumber(level), tonumber(since)
else
  redis.call('SADD', KEYS[4], KEYS[2])
end

local time = math.max(now, since)
local grown = shifted(product(time - since, tonumber(ARGV[4])), tonumber(ARGV[5]))
local left = math.min(capacity, level + grown) - cost
local granted = left >= 0
if granted then
  level, since = left, time
end
if granted or not kept then
  redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f %.0f', level, since))
end
return {granted and 1 or 0, level, since, redis.call('HGET', KEYS[3], 'version') or ''}
