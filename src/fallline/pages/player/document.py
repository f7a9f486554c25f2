"""Players as a page of their own, and in a frame: for notebooks, and for any page that others write."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from fallline.pages.assets import policy
from fallline.pages.player.drawing import player, script, stylesheet
from fallline.pages.player.scene import Scene, scene_of

if TYPE_CHECKING:
    from fallline.landscape import Path

_HEIGHT = 720  # pixels of a frame


def document(*scenes: Scene) -> str:
    """A whole HTML page of players, which needs no network and no other file; nothing but its own script runs on it.

    >>> document(Scene("Hills", ((0, 1), (0, 1)), [[0, 1], [1, 2]]))[:15]
    '<!DOCTYPE html>'
    """
    title = escape(" · ".join(scene.title for scene in scenes))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy([script()]))}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body {{ margin: 0; }}
{stylesheet()}</style>
</head>
<body><main>{"".join(map(player, scenes))}</main><script>{script()}</script></body>
</html>
"""


def frame(*scenes: Scene) -> str:
    """The same in a frame, which keeps styles and scripts of the page around it out, and its own in."""
    title = escape(", ".join(scene.title for scene in scenes))
    return (
        f'<iframe title="Descent player: {title}" sandbox="allow-scripts" width="100%" height="{_HEIGHT}" '
        f'style="border: 0" srcdoc="{escape(document(*scenes))}"></iframe>'
    )


def path_frame(path: Path) -> str:
    """A path on its surface, in a frame: what a notebook shows."""
    return frame(scene_of(path.surface, [path]))
