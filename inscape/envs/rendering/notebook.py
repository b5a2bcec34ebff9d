"""A picture of a world for a notebook: a PNG inside the HTML."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from inscape import html

SIDE = 180
"""Pixels of the longer side."""


def picture_of(world: Any) -> tuple[str, str]:
    """Returns `<img>` of an initial state, and what kept it from being drawn; one of them is empty.

    Args:
        world: a `World`.
    """
    try:
        start = world.sample_initial(1, np.random.default_rng(0), compiled=False)
        scene = world.scene(start)
        pixels = drawn(scene)
    except Exception as error:  # a law or a drawing under way: what a notebook shows of an object must not raise
        return "", f"no picture: {type(error).__name__}: {error}"
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    height, width = pixels.shape[:2]
    name = html.text(world.name)
    return f'<img alt="{name}" width="{width}" height="{height}" src="data:image/png;base64,{data}"/>', ""


def drawn(scene: Any) -> np.ndarray:
    """Returns `[height, width, 3]` uint8, a scene in its own proportions."""
    from inscape.envs.rendering.rasterizer import render_scene

    scale = SIDE / max(scene.width, scene.height)
    return render_scene(scene, max(1, round(scene.width * scale)), max(1, round(scene.height * scale)))
