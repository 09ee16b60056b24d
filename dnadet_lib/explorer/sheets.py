"""Images laid out on sheets, which a page holds as a few image elements instead of thousands."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

SHEET = 1024  # pixels a side of a sheet
LARGEST = 256  # pixels a side that are shown of an image


def middle(image: np.ndarray) -> np.ndarray:
    """Cut the middle, at most 256 pixels a side, out of an image (H, W, 3); nothing is resized."""
    top, left = (max(0, (side - LARGEST) // 2) for side in image.shape[:2])
    return image[top : top + LARGEST, left : left + LARGEST]


def pack(sizes: Sequence[Sequence[int]]) -> list[tuple[int, int, int, int, int]]:
    """Lay images of sizes (H, W) out on sheets, row by row: sheet, x, y, width, height of each."""
    places = []
    sheet = x = y = row = 0
    for height, width in sizes:
        if x + width > SHEET:
            x, y, row = 0, y + row, 0
        if y + height > SHEET:
            sheet, x, y, row = sheet + 1, 0, 0, 0
        places.append((sheet, x, y, width, height))
        x, row = x + width, max(row, height)
    return places


def draw_sheets(images: Sequence[np.ndarray], places: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Draw the images on their sheets, uint8 (SHEET, SHEET, 3) each."""
    sheets = [np.zeros((SHEET, SHEET, 3), np.uint8) for _ in range(places[-1][0] + 1)]
    for image, (sheet, x, y, width, height) in zip(images, places, strict=True):
        sheets[sheet][y : y + height, x : x + width] = image
    return sheets


def sheet_element(sheet: np.ndarray) -> str:
    """Write a sheet as an image element, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", lossless=True, method=2)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="sheet" alt="" hidden src="data:image/webp;base64,{data}">'
