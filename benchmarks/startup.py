"""What Fallline adds to a program's start: its import, and the first step of a fresh process, beside `import torch`.

Each round starts fresh processes in turn; figures are shares of the time of `import torch` in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 9

IMPORT = """
import json, time
start = time.perf_counter()
import torch
torch_seconds = time.perf_counter() - start
start = time.perf_counter()
import fallline
print(json.dumps([torch_seconds, time.perf_counter() - start]))
"""

FIRST_STEP = """
import json, time
start = time.perf_counter()
import torch
torch_seconds = time.perf_counter() - start
from fallline import optim
parameter = torch.nn.Parameter(torch.ones(1000))
parameter.grad = torch.ones(1000)
optimizer = optim.Adam([parameter])
start = time.perf_counter()
optimizer.step()
step_seconds = time.perf_counter() - start
print(json.dumps([torch_seconds, step_seconds]))
"""

DROP_IN_IMPORT = """
import json, time
start = time.perf_counter()
import torch
torch_seconds = time.perf_counter() - start
start = time.perf_counter()
from fallline import optim
print(json.dumps([torch_seconds, time.perf_counter() - start]))
"""


NOTHING_COMPILED = "first step, nothing compiled"


def run(program: str, *, compiled: bool = True) -> tuple[float, float]:
    """Seconds of `import torch` and of what is measured, in a fresh process, with no kernels unless `compiled`."""
    with tempfile.TemporaryDirectory() as empty:
        cache = {} if compiled else {"FALLLINE_CACHE_DIR": empty}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **cache})
    torch_seconds, seconds = json.loads(done.stdout)
    return torch_seconds, seconds


def main() -> None:
    """Print the median shares."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    programs = {
        "import fallline": IMPORT,
        "from fallline import optim": DROP_IN_IMPORT,
        "first step": FIRST_STEP,
        NOTHING_COMPILED: FIRST_STEP,
    }
    run(FIRST_STEP)  # fills the kernel cache
    shares: dict[str, list[float]] = {name: [] for name in programs}
    milliseconds: dict[str, list[float]] = {name: [] for name in programs}
    torch_milliseconds = []
    for _ in range(ROUNDS):
        for name, program in programs.items():
            torch_seconds, seconds = run(program, compiled=name != NOTHING_COMPILED)
            shares[name].append(seconds / torch_seconds)
            milliseconds[name].append(1e3 * seconds)
            torch_milliseconds.append(1e3 * torch_seconds)
    print(f"import torch: {statistics.median(torch_milliseconds):.0f} ms; medians of {ROUNDS} fresh processes each")
    for name in programs:
        print(
            f"{name:<28} {statistics.median(milliseconds[name]):7.1f} ms   {statistics.median(shares[name]):.3f} of it"
        )


if __name__ == "__main__":
    main()
