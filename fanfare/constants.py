"""Constants of the design (docs/design.md, section 10), each with its reason.

The relations between them are checked by tests/unit/test_constants.py.
"""

from typing import Final

# Time zero of `s`, the id of an inbox entry: 2026-01-01T00:00:00Z, in ms since 1970. 53 bits have to last.
S_EPOCH_MS: Final = 1_767_225_600_000
S_SHIFT: Final = 12

# Time zero of snowflakes, Discord's own: libraries derive dates from ids.
SNOWFLAKE_EPOCH_MS: Final = 1_420_070_400_000
# How far the process clock may be off the Redis server's before ids are refused.
CLOCK_SKEW_S: Final = 5.0
# Lease of a snowflake worker number.
WORKER_LEASE_S: Final = 30.0

# A node's lease outlasts the longest pause of a healthy event loop.
NODE_LEASE_S: Final = 6.0
NODE_RENEW_S: Final = 2.0
# How often a node asks whether Redis is still the one that it wrote to.
TOKEN_S: Final = 1.0
# How long notifiers wait after Redis was emptied, for nodes to notice and to register again. A node that takes longer
# reads what it missed from the log; only pushes depend on this.
EPOCH_HOLD_S: Final = 4.0
# How long a session without a socket can be resumed.
RESUME_WINDOW_S: Final = 120.0
# An inbox goes on receiving this long after its node died, so that another node can adopt its sessions.
INBOX_TTL_S: Final = RESUME_WINDOW_S + 30.0
INBOX_CAP_ENTRIES: Final = 200_000
MOVED_TTL_S: Final = 86_400.0

# Recent dispatches of a node with all their frames, kept to feed slow and resuming sessions.
RING_BYTES: Final = 48 * 1024 * 1024
SOCKET_HIGH_WATER_BYTES: Final = 256 * 1024

# A retry with the same nonce is recognised this long; longer than clients go on retrying.
NONCE_WINDOW_S: Final = 300.0

# Resume on another node: how long fences gather, and how many numbers below T are kept free for what the new inbox
# had before it was raised. That is what it gets while a fence travels; the numbers are 16 ms of `s`.
FENCE_GATHER_S: Final = 0.02
EARLY_NUMBERS: Final = 1 << 16
FENCE_TIMEOUT_S: Final = 5.0

# Accepting a message.
ANSWER_TIMEOUT_S: Final = 5.0
UNACKNOWLEDGED_BYTES: Final = 8 * 1024 * 1024
# Kafka counts as away when the oldest unacknowledged record is older than this: what is not handed over is refused.
BREAKER_S: Final = 2.0

# Workers.
COMMIT_INTERVAL_S: Final = 1.0
# When a worker leaves, its partitions wait for the others' next heartbeat (measured: 200 ms made 195 ms, 100 made 100).
HEARTBEAT_MS: Final = 50

# Discord's limits on frames from clients.
CLIENT_FRAME_BYTES: Final = 4096
CLIENT_FRAMES_PER_MINUTE: Final = 120
# Fanfare's own opcodes (128 and up) have their own.
OWN_FRAME_BYTES: Final = 64 * 1024
OWN_UNANSWERED: Final = 64
HEARTBEAT_INTERVAL_MS: Final = 41_250
# PINGs, PONGs and empty frames, which Discord does not speak of; libraries send one in 20 s.
CONTROL_FRAMES_PER_MINUTE: Final = 120
# Of one message; the largest that there may be (OWN_FRAME_BYTES) in pieces of half a kB.
MESSAGE_FRAGMENTS: Final = 128
# The most IDENTIFYs and RESUMEs of a connection; each may cost a question to Redis.
STARTS: Final = 10

# Connections that have not identified (docs/security.md). The head of a request, of one and of all together: the
# longest that a browser sends is 8 kB, with cookies that are not ours.
HEAD_BYTES: Final = 16 * 1024
HEADS_BYTES: Final = 32 * 1024 * 1024
# The most requests without a valid token on one connection to REST; pipelined, they would keep all others waiting.
UNIDENTIFIED_REQUESTS: Final = 32
# How long a TLS handshake may take, the head of a request, its body, and the reading of an answer.
HANDSHAKE_S: Final = 10.0
HEAD_S: Final = 20.0
BODY_S: Final = 30.0
UNREAD_S: Final = 30.0
# Bodies with files that a process reads at once, of all and of one user. They are held in memory until they are stored.
UPLOADS_BYTES: Final = 128 * 1024 * 1024
UPLOADS_OF_USER_BYTES: Final = 32 * 1024 * 1024
# All files of a message together.
MESSAGE_FILES_BYTES: Final = 25 * 1024 * 1024
# A file whose message is not archived: as long as the log keeps the message that may still claim it.
FILES_UNCLAIMED_S: Final = 7 * 86_400.0
# A connection that is kept open between requests: longer than the 60 s of load balancers, which have to close first.
KEEP_ALIVE_S: Final = 75.0
# Discord's: an address that sends 10,000 of them in 10 minutes is kept out for the rest of these.
INVALID_TOKENS_WINDOW_S: Final = 600.0
# Descriptors that client connections never take: they are for stores, files and health checks.
SPARE_DESCRIPTORS: Final = 256

# The newest messages of a channel that Redis keeps once they stand in the database, and at the most.
RECENT_KEPT: Final = 100
RECENT_CAP: Final = 5_000
# A guild up to this size is kept with all its members in a gateway's memory and sent whole in GUILD_CREATE.
LARGE_GUILD: Final = 250
# An archived thread stays part of its guild's state: what was said before may be on its way for as long.
ARCHIVED_KEPT_S: Final = 86_400.0
