-- Changes the overrides if they have the version that the caller knows, and forgets one account or all accounts.
-- KEYS: the version of the overrides, the overrides, the set of all hashes of accounts, the hash to forget (optional)
-- ARGV: the known version ('*' for any), an unused version, the new overrides, "all" to forget every account
-- Returns 1 after the change, and 0 for another version.

if ARGV[1] ~= '*' and ARGV[1] ~= (redis.call('GET', KEYS[1]) or '') then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
local gone = ARGV[4] == 'all' and redis.call('SMEMBERS', KEYS[3]) or {KEYS[4]}
for _, hash in ipairs(gone) do
  redis.call('DEL', hash)
  redis.call('SREM', KEYS[3], hash)
end
return 1
