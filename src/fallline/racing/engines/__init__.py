"""Where the runs of a race are trained: here, in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fallline._lazy import door

if TYPE_CHECKING:
    from fallline.racing.engines.engine import Engine, LocalEngine, choose_engine
    from fallline.racing.engines.parcel import can_be_sent
    from fallline.racing.engines.workers import warm_up

#: Imported when first asked for: processes are to load torch while this one does.
__getattr__ = door(__name__, {
    "engine": ("Engine", "LocalEngine", "choose_engine"),
    "parcel": ("can_be_sent",),
    "workers": ("warm_up",),
})  # fmt: skip

__all__ = ["Engine", "LocalEngine", "can_be_sent", "choose_engine", "warm_up"]
