-- Takes tokens from buckets exactly as mock_server/bucket.py does, unless the settings have changed.
-- KEYS: the settings' version, the set of all hashes of accounts; then for each question
--       the hash with the bucket, the hash of the account
-- ARGV: for each question the version that the caller goes by ("*": any), the bucket's field, now in ticks, its rate as
--       MANTISSA and SHIFT (parts a tick = MANTISSA / 2^SHIFT), its capacity and first level in parts, the parts to take
-- Returns for each question whether they were there, the level, since when (ticks), and the account's version;
-- nothing for one that is stale.

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

local function take(bucket, account, field, now, mantissa, shift, capacity, full, cost)
  local level, since = full, now
  local kept = redis.call('HGET', bucket, field)
  if kept then
    level, since = kept:match('(%S+) (%S+)')
    level, since = tonumber(level), tonumber(since)
  else
    redis.call('SADD', KEYS[2], bucket)
  end

  local time = math.max(now, since)
  local grown = shifted(product(time - since, mantissa), shift)
  local left = math.min(capacity, level + grown) - cost
  local granted = left >= 0
  if granted then
    level, since = left, time
  end
  if granted or not kept then
    redis.call('HSET', bucket, field, string.format('%.0f %.0f', level, since))
  end
  return {granted and 1 or 0, level, since, redis.call('HGET', account, 'version') or ''}
end

local version = redis.call('GET', KEYS[1]) or ''
local answers = {}
for i = 1, #ARGV / 8 do
  local at = 8 * (i - 1)
  if ARGV[at + 1] ~= '*' and ARGV[at + 1] ~= version then
    answers[i] = false
  else
    local numbers = {}
    for j = 3, 8 do
      numbers[j - 2] = tonumber(ARGV[at + j])
    end
    answers[i] = take(KEYS[2 * i + 1], KEYS[2 * i + 2], ARGV[at + 2], unpack(numbers))
  end
end
return answers
