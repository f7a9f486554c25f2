"""As in the processes of a race: one thread, and products of matrices that do not hang on where these lie in memory.

With one thread, too, pytest's workers share the cores: teams that wait for each other spin.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_CBWR", "AUTO")
