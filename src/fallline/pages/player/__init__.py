"""The descent player: contours of a surface, and the paths of optimizers that can be played on it.

Its HTML holds a whole picture with scripts off; `script()` makes it play, `stylesheet()` makes it fit to look at.
`document` is a page of players, `frame` the same inside another page.

>>> from fallline.landscape import path, surfaces
>>> page = player(scene_of(surfaces.ravine, [path(surfaces.ravine, "sgd", lr=0.03, steps=20)]))
>>> "learning rate 0.03" in page
True
"""

from fallline.pages.player.document import document, frame, path_frame
from fallline.pages.player.drawing import message, player, script, stylesheet
from fallline.pages.player.scene import Scene, Trajectory, scene_of, trajectory_of
from fallline.pages.player.shapes import Contours, contours

__all__ = [
    "Contours",
    "Scene",
    "Trajectory",
    "contours",
    "document",
    "frame",
    "message",
    "path_frame",
    "player",
    "scene_of",
    "script",
    "stylesheet",
    "trajectory_of",
]
