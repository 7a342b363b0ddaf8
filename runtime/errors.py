"""What a job may end with besides success. Each class has the exit code that the script's caller sees.

JobError            1   the config, the data or the environment is wrong; the message says what to do
├── InputError     65   an input is missing, or is not what the job was compiled against
├── OutOfMemory    71   the GPU's or the node's memory was not enough; the same job would end so again
├── NoRoom         74   the disk is full, or its quota is used up
├── EndedEarly     75   the job stopped before its planned end; a checkpoint is there to go on from
└── CommandFailed       another program failed, with this exit code
"""

from __future__ import annotations

import errno

BUG = 70  # the exit code of whatever is none of these
WORDS_OF_NO_ROOM = ("No space left on device", "Disk quota exceeded")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class JobError(Exception):
    """A mistake that its reader can mend; shown as one message, without a traceback."""

    exit_code = 1


class InputError(JobError):
    """An input of the job is missing or carries another fingerprint than the contract names."""

    exit_code = 65


class OutOfMemory(JobError):
    """A GPU, or the node, had too little memory."""

    exit_code = 71


class NoRoom(JobError):
    """Nothing more can be written: the disk is full, or the user's quota."""

    exit_code = 74


class EndedEarly(JobError):
    """Fewer steps were made than planned (`done` of `total`, where that is known); a checkpoint is there to go on from.

    `withdrawn`: somebody ended it (SIGTERM), so that it must not go on by itself. Where Slurm preempts, it requeues by itself.
    """

    exit_code = 75

    def __init__(self, message: str, done: int | None = None, total: int | None = None, *, withdrawn: bool = False) -> None:
        super().__init__(message)
        self.done = done
        self.total = total
        self.withdrawn = withdrawn


class FailedBefore(JobError):
    """The link before this one failed, as this one would; its exit code is that one's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CommandFailed(JobError):
    """Another program did the job, and failed; its exit code is the job's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def named(error: Exception) -> JobError | None:
    """`error` as the one of ours that says what happened: no room, no memory. None for any other, which may be a bug."""
    if isinstance(error, JobError):
        return error
    if getattr(error, "errno", None) in NO_ROOM or any(words in str(error) for words in WORDS_OF_NO_ROOM):
        return NoRoom(f"there is no room left to write to ({error}); make some (lethe storage), then run it again")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        return OutOfMemory(f"out of memory ({error}); make micro_batch_size smaller, or ask for more GPUs or memory")
    return None
