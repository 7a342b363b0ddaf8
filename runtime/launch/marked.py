"""`python -m runtime.launch.marked COMMAND…`: run a command, and note in $LETHE_OUT that it ran to a good end.

It is the command that a launcher is given, so that the note can come from nowhere else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import JobError
from runtime.launch import child
from runtime.store import attempts


def main(argv: Sequence[str]) -> int:
    """Run the command; end as it ended."""
    try:
        code = child.run(argv).code
        if code == 0:
            attempts.mark(Path(os.environ["LETHE_OUT"]))
    except JobError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
