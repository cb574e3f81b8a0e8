"""`callpoint` with marked sound devices: its media process is started by the program in $MEDIA_PYTHON."""

from __future__ import annotations

import os
import sys

sys.executable = os.environ["MEDIA_PYTHON"]  # the default of MediaProcess, from when its module is imported

from agent.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
