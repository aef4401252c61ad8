"""Every error this package raises on purpose, and the exit code each one ends a command with.

::

    ChironError                 1   base: has a code, what was expected, what came, and a hint
    ├── UsageRefused            2   a flag, setting or argument that cannot mean anything
    │   └── ConfigurationRefused    the same, found in a configuration file or the environment
    ├── Timeout                 3   a deadline passed; the outcome may be unknown
    │   └── AnswerTimeout           no answer to a query came in time
    ├── BrokerUnreachable       4   no broker answered at the named endpoint
    │   └── BrokerNotStarted        the local broker could not be started (port, disk, Java, Maven)
    ├── NotAuthorized           5   the broker refused the credentials or the operation
    ├── EvidenceRefused         6   a worker's evidence does not satisfy the policy (all reasons)
    ├── TamperDetected          7   what the log shows cannot be an honest history
    │   ├── Withheld                records that were there are no longer shown
    │   └── RolledBack              the log ends before a position that was already reached
    ├── PolicyRefused           8   a limit of the catalogue or of the job
    │   ├── JobRefused              a job file or policy that cannot be used, or not by this caller
    │   ├── SchemaMismatch          rows that the job's schema refuses; nothing was sealed
    │   ├── RecipeRefused           a recipe outside the closed graph or the policy's limits
    │   └── BudgetExhausted         the identity's ceiling of answers is reached
    ├── Fenced                  9   a successor has taken over; this process must end
    ├── WriterLost              1   a transaction's outcome is unknown; restart and read the log
    ├── CatalogueRefused        1   a topic file that does not read, or a broker that differs
    └── BugFound               70   an invariant of this package does not hold

A message says what was expected and what came. It never holds a key, a plaintext or a tensor
value: the texts are built from names, counts, offsets and sizes only.
"""

from __future__ import annotations

from typing import ClassVar


class ChironError(Exception):
    """Base of all errors: a stable ``code`` for programs, sentences for people.

    :param message: what went wrong, naming the object.
    :param code: stable upper-case identifier, listed in ``docs/errors.md``.
    :param expected: what would have been right.
    :param got: what came instead.
    :param hint: one thing to do next, often one command.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "FAILED"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.expected = expected
        self.got = got
        self.hint = hint

    def diagnostics(self) -> dict[str, str]:
        """Return the parts that are set, in the order a person wants to read them."""
        parts = {
            "code": self.code,
            "message": self.message,
            "expected": self.expected,
            "got": self.got,
            "hint": self.hint,
        }
        return {name: text for name, text in parts.items() if text is not None}

    def __str__(self) -> str:
        facts = [f"{name} {text}" for name in ("expected", "got") if (text := getattr(self, name))]
        return f"{self.message} ({', '.join(facts)})" if facts else self.message


class UsageRefused(ChironError):
    """A flag or argument that cannot mean anything."""

    exit_code = 2
    default_code = "USAGE"


class ConfigurationRefused(UsageRefused):
    """A configuration file or environment variable that cannot mean anything."""

    default_code = "CONFIGURATION"


class Timeout(ChironError):
    """A deadline passed. Unless the message says otherwise the outcome is unknown."""

    exit_code = 3
    default_code = "TIMEOUT"


class AnswerTimeout(Timeout):
    """No answer to a query came in time; it may still come."""

    default_code = "ANSWER_TIMEOUT"


class BrokerUnreachable(ChironError):
    """No broker answered at the named endpoint within the named time."""

    exit_code = 4
    default_code = "BROKER_UNREACHABLE"


class BrokerNotStarted(BrokerUnreachable):
    """The local broker could not be started; the code says why."""

    default_code = "BROKER_NOT_STARTED"


class NotAuthorized(ChironError):
    """The broker refused the credentials, or the operation under them."""

    exit_code = 5
    default_code = "NOT_AUTHORIZED"


class EvidenceRefused(ChironError):
    """A worker's evidence does not satisfy the policy.

    :param reasons: every reason that was found, not only the first.
    """

    exit_code = 6
    default_code = "EVIDENCE"

    def __init__(self, message: str, reasons: tuple[str, ...], **parts: str) -> None:
        super().__init__(message, got="; ".join(reasons), **parts)
        self.reasons = reasons


class TamperDetected(ChironError):
    """What the log shows cannot be an honest history."""

    exit_code = 7
    default_code = "TAMPERED"


class Withheld(TamperDetected):
    """A read below the low watermark: records that were there are no longer shown."""

    default_code = "WITHHELD"


class RolledBack(TamperDetected):
    """A read above the end of the log: the log is shorter than it was."""

    default_code = "ROLLED_BACK"


class PolicyRefused(ChironError):
    """A limit of the topic catalogue or of the job's policy."""

    exit_code = 8
    default_code = "POLICY"


class JobRefused(PolicyRefused):
    """A job file or policy that cannot be used, or not by this caller."""

    default_code = "JOB"


class SchemaMismatch(PolicyRefused):
    """Rows that the job's schema refuses. Names row and column; nothing was sealed."""

    default_code = "SCHEMA"


class RecipeRefused(PolicyRefused):
    """A recipe outside the closed graph or the policy's limits."""

    default_code = "RECIPE"


class BudgetExhausted(PolicyRefused):
    """The ceiling of answers of this identity is reached."""

    default_code = "BUDGET"


class Fenced(ChironError):
    """A successor holds this transactional id. End the process; touch nothing more."""

    exit_code = 9
    default_code = "FENCED"


class WriterLost(ChironError):
    """A transactional writer met an error; whether its transaction committed is unknown.

    The writer is finished. Start a new one: its start completes or aborts what was open, and the
    log then says what is there.
    """

    default_code = "WRITER_LOST"


class CatalogueRefused(ChironError):
    """A topic file that does not read, or a broker whose topics differ from the catalogue."""

    default_code = "CATALOGUE"


class BugFound(ChironError):
    """An invariant of this package does not hold. Please report it."""

    exit_code = 70
    default_code = "BUG"
