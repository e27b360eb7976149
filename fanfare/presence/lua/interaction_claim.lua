-- An application answers an interaction: only the first answer counts.
-- KEYS: the interaction (hash). ARGV: type of the answer.
-- Answers 1; 0 if it was answered before; -1 if there is none, or its time is over.
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
return redis.call('HSETNX', KEYS[1], 'answer', ARGV[1])
