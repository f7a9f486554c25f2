"""Where the jobs of a race are trained: here, in processes of this machine, or on a Ray cluster."""

from fallline.racing.engines.engine import Engine, LocalEngine, choose_engine
from fallline.racing.engines.parcel import can_be_sent

__all__ = ["Engine", "LocalEngine", "can_be_sent", "choose_engine"]
