"""Where one image lies on a map: the map drawn once, and a ring that moves on it."""

import io
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np

from dnadet_lib.explorer import explorer
from dnadet_lib.explorer.explorer import Explorer
from dnadet_lib.explorer.html import address, image_element


@dataclass(frozen=True)
class MapPicture:
    """A map drawn once, `side` pixels large, on which a point can be moved quickly.

    `low` and `high` (2,) are the coordinates of its lower left and upper right corner.
    """

    element: str
    low: np.ndarray
    high: np.ndarray
    side: int

    def at(self, point: np.ndarray) -> str:
        """Write the map with a ring around a place (2,)."""
        x, y = (np.asarray(point) - self.low) / (self.high - self.low) * self.side
        ring = (
            f'<circle cx="{x:.1f}" cy="{self.side - y:.1f}" r="9" fill="none" '
            'stroke="white" stroke-width="6"/>'
        )
        inner = ring.replace("white", "black").replace('width="6"', 'width="3"')
        overlay = (
            f'<svg aria-hidden="true" width="{self.side}" height="{self.side}" '
            f'style="position: absolute; left: 0; top: 0">{ring}{inner}</svg>'
        )
        style = f"position: relative; width: {self.side}px"
        return f'<div style="{style}">{self.element}{overlay}</div>'


def map_picture(state: Explorer, name: str, side: int = 300) -> MapPicture:
    """Draw a map by class, without a frame, as a background."""
    points = state.maps[name]
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    shown, _ = explorer.colours(state, "class")
    figure = plt.figure(figsize=(side / 100, side / 100), layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.scatter(points[:, 0], points[:, 1], c=shown, s=8, linewidths=0, alpha=0.5)
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axis.axis("off")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches=None)
    plt.close(figure)
    element = image_element(address(buffer), side, side, f"{name} by class")
    element = element.replace("margin: 2px", "margin: 0")
    return MapPicture(element, low, high, side)
