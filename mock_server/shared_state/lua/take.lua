-- Takes tokens from buckets exactly as mock_server/simulation/bucket.py does, unless the overrides have changed.
-- KEYS: the version of the overrides, the set of all hashes of accounts; then for each request
--       the hash with the bucket, the hash of the account
-- ARGV: for each request the required version ("*": any), the bucket's field, now in ticks, its rate as
--       MANTISSA and SHIFT (parts a tick = MANTISSA / 2^SHIFT), its capacity and first level in parts, the parts to take
-- Returns for each request whether it got its parts, the level, its time (ticks) and the account's version;
-- nothing for another version of the overrides.

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

local function grown(elapsed, mantissa, shift)
  local parts = elapsed * mantissa
  if parts < 2 ^ 53 then
    return math.floor(parts / 2 ^ shift)
  end
  return shifted(product(elapsed, mantissa), shift)
end

-- Each bucket is read once and written once, each account is read once, regardless of the number of requests.
local buckets, versions = {}, {}

local function opened(hash, field, full, now)
  local name = #hash .. hash .. field
  if not buckets[name] then
    local bucket = {hash = hash, field = field, level = full, since = now}
    local kept = redis.call('HGET', hash, field)
    if kept then
      local level, since = kept:match('(%S+) (%S+)')
      bucket.level, bucket.since = tonumber(level), tonumber(since)
    else
      redis.call('SADD', KEYS[2], hash)
      bucket.is_changed = true
    end
    buckets[name] = bucket
  end
  return buckets[name]
end

local function version_of(account)
  if not versions[account] then
    versions[account] = redis.call('HGET', account, 'version') or ''
  end
  return versions[account]
end

local function take(bucket, now, mantissa, shift, capacity, cost)
  local time = math.max(now, bucket.since)
  local left = math.min(capacity, bucket.level + grown(time - bucket.since, mantissa, shift)) - cost
  if left < 0 then
    return 0
  end
  bucket.level, bucket.since, bucket.is_changed = left, time, true
  return 1
end

local version = redis.call('GET', KEYS[1]) or ''
local answers = {}
for i = 1, #ARGV / 8 do
  local at = 8 * (i - 1)
  if ARGV[at + 1] ~= '*' and ARGV[at + 1] ~= version then
    answers[i] = false
  else
    local now, mantissa, shift, capacity, full, cost = unpack(ARGV, at + 3, at + 8)
    now = tonumber(now)
    local bucket = opened(KEYS[2 * i + 1], ARGV[at + 2], tonumber(full), now)
    local granted = take(bucket, now, tonumber(mantissa), tonumber(shift), tonumber(capacity), tonumber(cost))
    answers[i] = {granted, bucket.level, bucket.since, version_of(KEYS[2 * i + 2])}
  end
end
for _, bucket in pairs(buckets) do
  if bucket.is_changed then
    redis.call('HSET', bucket.hash, bucket.field, string.format('%.0f %.0f', bucket.level, bucket.since))
  end
end
return answers
