"""With one thread and MKL told to keep to one way, a lane's numbers are its own, to the bit, in whatever company."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.training.company import MODELS


def test_a_lane_has_the_same_numbers_in_any_company() -> None:
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_CBWR": "AUTO"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.training.company"]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {"models": len(MODELS), "different": {}}
