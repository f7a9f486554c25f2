"""Which engine trains a race."""

from __future__ import annotations

from fallline.racing.engines.engine import Engine
from fallline.racing.engines.local import LocalEngine


def choose_engine(workers: int | None = None, ray: str | None = None) -> Engine:
    """The engine for so many processes of this machine, or for the Ray cluster at an address; by default neither.

    Raises ValueError where both are given or `workers` is no number of processes, and what the engine itself raises.

    >>> choose_engine(workers=1).slots
    1
    """
    if workers is not None and ray is not None:
        raise ValueError(
            "workers and ray are both given, but a race trains in processes of this machine or on a Ray cluster; "
            "leave one of them out"
        )
    if ray is not None:
        from fallline.racing.engines.ray_cluster import RayEngine

        return RayEngine(ray)
    if workers is None:
        return LocalEngine()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be a whole number of processes from 1; got {workers!r}")
    if workers == 1:
        return LocalEngine()
    from fallline.racing.engines.processes import ProcessEngine

    return ProcessEngine(workers)
