-- Changes the settings if they are those that the caller knows, and forgets one account or all of them.
-- KEYS: the settings' version, the settings, the set of all hashes of accounts, the hash to forget (if one is)
-- ARGV: the known version ('*' if it does not matter), a version that was never used, the new settings, "all" if every account is to be forgotten
-- Returns whether it was done.

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
