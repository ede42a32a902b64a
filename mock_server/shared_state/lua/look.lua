-- Reads an account without opening it.
-- KEYS: the hash of the account
-- ARGV: the field of its beginning, now in seconds, the known version, the version of an account that is not open
-- Returns the version, the beginning (now for an account that is not open) and the hash; nothing for the known version.

local since = redis.call('HGET', KEYS[1], ARGV[1])
local version = since and redis.call('HGET', KEYS[1], 'version') or ARGV[4]
return version ~= ARGV[3] and {version, since or ARGV[2], redis.call('HGETALL', KEYS[1])}
