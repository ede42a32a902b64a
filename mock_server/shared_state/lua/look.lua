-- Looks at what was done to an account, and does not open it.
-- KEYS: the hash of the account
-- ARGV: the field of its beginning, now in seconds, the known version, that of an account which is not open
-- Returns the version, the beginning (now, if it is not open), and the hash; nothing if the version is known.

local since = redis.call('HGET', KEYS[1], ARGV[1])
local version = since and redis.call('HGET', KEYS[1], 'version') or ARGV[4]
return version ~= ARGV[3] and {version, since or ARGV[2], redis.call('HGETALL', KEYS[1])}
