"""One OpenMP thread a worker: the workers share the cores already, and teams that wait for each other spin."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
