-- Adds traffic to an account.
-- KEYS: the hash of the account, the set of all such hashes
-- ARGV: a version that was never used, then fields and what is added to them, in turn

redis.call('SADD', KEYS[2], KEYS[1])
redis.call('HSET', KEYS[1], 'version', ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
end
