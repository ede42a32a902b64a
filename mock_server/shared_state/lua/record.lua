-- Adds traffic to an account, and opens it unless it is open.
-- KEYS: the hash of the account, the set of all such hashes
-- ARGV: an unused version, the field of its beginning, now in seconds, then pairs of a field and its increment

redis.call('SADD', KEYS[2], KEYS[1])
redis.call('HSET', KEYS[1], 'version', ARGV[1])
redis.call('HSETNX', KEYS[1], ARGV[2], ARGV[3])
for i = 4, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
end
