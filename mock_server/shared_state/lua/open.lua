-- Opens an account unless it is open, and returns it.
-- KEYS: the hash of the account, the set of all such hashes
-- ARGV: the field of its beginning, now in seconds, an unused version
-- Returns the version, the beginning, and the hash.

if redis.call('HSETNX', KEYS[1], 'version', ARGV[3]) == 1 then
  redis.call('SADD', KEYS[2], KEYS[1])
end
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return {redis.call('HGET', KEYS[1], 'version'), redis.call('HGET', KEYS[1], ARGV[1]), redis.call('HGETALL', KEYS[1])}
