"""What a job may end with besides success. Each class has the exit code that the script's caller sees.

JobError            1   the config, the data or the environment is wrong; the message says what to do
├── InputError     65   an input is missing, or is not what the job was compiled against
└── EndedEarly     75   the job stopped before its planned end; a checkpoint is there to go on from
"""

from __future__ import annotations


class JobError(Exception):
    """A mistake that its reader can mend; shown as one message, without a traceback."""

    exit_code = 1


class InputError(JobError):
    """An input of the job is missing or carries another fingerprint than the contract names."""

    exit_code = 65


class EndedEarly(JobError):
    """Fewer steps were made than planned; the checkpoint is there to go on from."""

    exit_code = 75
