"""On a daemon's PYTHONPATH: its wall clock runs as many seconds ahead as the file $FAULTS_CLOCK says."""

import os
import time
from pathlib import Path

FILE = Path(os.environ["FAULTS_CLOCK"])
true_time = time.time


def shifted_time() -> float:
    return true_time() + float(FILE.read_text(encoding="ascii"))


time.time = shifted_time
