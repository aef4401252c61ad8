"""Every label for hashing, signing and key derivation: distinct constants in one table.

A label separates domains: bytes signed or hashed for one purpose mean nothing for another. Each is
ASCII, begins with the protocol's name and version, and ends in a NUL byte, so that none is the
beginning of another (``tests/unit/test_labels.py``).
"""

from __future__ import annotations

from typing import Final


def _label(name: str) -> bytes:
    return b"chiron-stream/v1 " + name.encode("ascii") + b"\0"


# Hashes
JOB: Final = _label("job id")
POLICY: Final = _label("policy head")
AKD: Final = _label("attested key document")
SESSION_ID: Final = _label("session id")
SESSION_TRANSCRIPT: Final = _label("session transcript")
CONTROL_CHAIN: Final = _label("control chain")
SHARD: Final = _label("shard digest")
SHARD_LEAF: Final = _label("shard leaf")
SHARD_NODE: Final = _label("shard node")
JOURNAL_CHAIN: Final = _label("journal chain")
OBJECT: Final = _label("object digest")
RECIPE: Final = _label("recipe commitment")
CHECKPOINT: Final = _label("checkpoint hash")
TASK: Final = _label("task id")
EVALUATION: Final = _label("evaluation id")
SLOT_SEED: Final = _label("slot seed")
SHARD_ORDER: Final = _label("shard order")
MEASUREMENT: Final = _label("simulated measurement")

# Signatures
SIGN_POLICY: Final = _label("sign policy")
SIGN_SESSION: Final = _label("sign session open")
SIGN_WELCOME: Final = _label("sign welcome")
SIGN_WORKER: Final = _label("sign worker message")
SIGN_CHECKPOINT: Final = _label("sign checkpoint")
SIGN_PLAN: Final = _label("sign plan")
SIGN_CONFLICT: Final = _label("sign conflict")

# HPKE info
INFO_SESSION: Final = _label("hpke session")
INFO_WELCOME: Final = _label("hpke welcome")
INFO_PLAN: Final = _label("hpke plan")
INFO_QUOTING_REQUEST: Final = _label("hpke quoting request")
INFO_QUOTING_RESPONSE: Final = _label("hpke quoting response")

# Derivation from a session's pseudo-random key
SESSION_CONTROL: Final = _label("session control key")
SESSION_COMMITMENT: Final = _label("session key commitment")
SESSION_DATA_SET: Final = _label("session data set id")
SESSION_SHARD: Final = _label("session shard key")
SESSION_RECIPE: Final = _label("session recipe key")
SESSION_REPLY: Final = _label("session reply key")
SESSION_QUERY: Final = _label("session query key")
SESSION_ANSWER: Final = _label("session answer secret")

# Derivation for one answer
ANSWER_KEY: Final = _label("answer key")

# Derivation from an identity, for what its party keeps
CLIENT_STATE: Final = _label("client state")

# Derivation from the job's key K
K_JOURNAL: Final = _label("journal key")
K_SNAPSHOT: Final = _label("snapshot key")
K_VERSION: Final = _label("version key")
K_UPDATE: Final = _label("update key")
K_PREDICTORS: Final = _label("predictors key")
K_COMMITMENT: Final = _label("parameter commitment key")
K_SEALING: Final = _label("sealing of the job key")

# Derivation from a Welcome secret
WELCOME_TASKS: Final = _label("welcome tasks key")
WELCOME_REPORTS: Final = _label("welcome reports key")
WELCOME_PRESENCE: Final = _label("welcome presence key")

# The development quoting service
SIMULATED_SEALING: Final = _label("simulated sealing key")
