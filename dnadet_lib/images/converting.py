"""From an opened image to uint8 RGB: depth, transparency, frames and turns."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

ORIENTATION = 0x0112  # EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
EXIF_PLACES = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})  # in info


class Converted(NamedTuple):
    """uint8 RGB pixels (H, W, 3), and what was done to get them that a user should know."""

    pixels: np.ndarray
    remarks: list[str]


def convert(image: Image.Image) -> Converted:
    """Bring an image to uint8 RGB (H, W, 3), turned as its EXIF data say, or raise a ValueError."""
    remarks = []
    if (frames := frames_of(image)) > 1:
        remarks.append(f"frame {image.tell() + 1} of {frames} is read, the others are not")
    bits = bits_of(image)
    image.load()
    if (turn := TURNS.get(orientation_of(image))) is not None:  # the first of Pillow's is 0
        image = image.transpose(turn)
    if image.mode == "F":
        raise ValueError(
            "floating point numbers, of which the file does not say which is white: save 8 or 16 "
            "bits a channel"
        )
    if image.mode.startswith("I"):
        return _from_integers(image, bits, remarks)
    if bits > 8:
        remarks.append(_cut(bits))
        if isinstance(colour := image.info.get("transparency"), tuple):  # as Pillow did the pixels
            image.info["transparency"] = tuple(value >> 8 for value in colour)
    if image.mode in ("CMYK", "LAB"):
        remarks.append(f"{image.mode} is turned into RGB without a colour profile")
    if image.has_transparency_data:
        pixels, see_through = on_white(image)
        return Converted(pixels, [*remarks, WHITE] if see_through else remarks)
    return Converted(np.asarray(_plain_rgb(image)), remarks)


WHITE = "transparent parts are laid on white"


def _cut(bits: int) -> str:
    return f"{bits} bits a channel are reduced to 8"


def _plain_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def on_white(image: Image.Image) -> tuple[np.ndarray, bool]:
    """Lay an image with transparency on white: uint8 (H, W, 3), and whether any of it showed."""
    whole = image.convert("LA") if image.mode == "La" else image
    full = whole.convert("RGBA")
    if full.getchannel("A").getextrema()[0] == 255:
        return np.asarray(whole.convert("RGB")), False
    ground = Image.new("RGBA", full.size, "white")
    return np.asarray(Image.alpha_composite(ground, full).convert("RGB")), True


def _from_integers(image: Image.Image, bits: int, remarks: list[str]) -> Converted:
    """Cut grey levels of 12, 16 or 32 bits to the upper 8 of 12 or 16."""
    levels = np.asarray(image).astype(np.int64)
    low, high = (int(f()) for f in (levels.min, levels.max)) if levels.size else (0, 0)
    unsure = bits > 12 and 0 < high <= 255  # 8 bits in a wider file, or all but black?
    if low < 0 or high > 65535 or unsure:
        raise ValueError(
            f"whole numbers from {low} to {high} in {bits} bits, of which the file does not say "
            "which is white: save 8 or 16 bits a channel without a sign"
        )
    bits = min(bits, 16)
    grey = (levels >> (bits - 8)).clip(0, 255).astype(np.uint8)
    remarks = [*remarks, _cut(bits)]
    colour = image.info.get("transparency")
    if isinstance(colour, int) and (levels == colour).any():
        grey = np.where(levels == colour, np.uint8(255), grey)
        remarks.append(WHITE)
    return Converted(np.repeat(grey[..., None], 3, axis=2), remarks)


def frames_of(image: Image.Image) -> int:
    """Count frames or pages; 1 where the file does not say, and for the layers of a PSD."""
    if image.format == "PSD":
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a damaged later frame is no reason to lose the first
        return 1


def bits_of(image: Image.Image) -> int:
    """Bits a channel of a file that is opened, but not loaded: 8, 12, 16 or 32."""
    tiles = getattr(image, "tile", None) or [(None,) * 4]
    layout = tiles[0][3] if isinstance(tiles[0][3], tuple) else (tiles[0][3],)
    raw = str(layout[0])  # such as "RGB;16B" or "I;12"
    if raw.endswith(";12"):
        return 12
    deep_map = image.format == "PPM" and len(layout) > 1 and isinstance(layout[1], int)
    if ";16" in raw or image.mode.startswith("I;16") or (deep_map and layout[1] > 255):
        return 16
    return 32 if image.mode in ("I", "F") else 8


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1, upright, also for none, for no such number, and for TIFF."""
    if not (EXIF_PLACES & image.info.keys() or hasattr(image, "tag_v2")):
        return 1  # parsing nothing takes a sixth of the time of a small image
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data raise all kinds of errors
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
