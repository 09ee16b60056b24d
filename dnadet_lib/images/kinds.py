"""What becomes of each kind of image file: the table that commands and the data card show."""

from textwrap import fill

KINDS = (
    ("8 bits a channel: RGB, grey, palette, black and white",
     "as it is; grey stands in all three channels"),
    ("16 bits a channel: PNG, TIFF, PGM, PPM, grey JPEG 2000",
     "the upper 8 of the 16 bits (of 12 in a 12-bit TIFF; colour PPM is rounded); noted; "
     "refused if grey and no level passes 255"),
    ("more than 8 bits in AVIF, HEIC, colour JPEG 2000",
     "as the decoder rounds it to 8 bits"),
    ("whole numbers of 32 bits",
     "as 16 bits if they lie in 0 to 65535 and some pass 255 (noted), else refused"),
    ("floating point: TIFF, PFM, FITS",
     "refused, since the file does not say which value is white"),
    ("transparency: alpha channel, transparent colour",
     "laid on white where anything is transparent (noted); an alpha channel that is opaque "
     "throughout is dropped"),
    ("CMYK, LAB, YCbCr, HSV",
     "turned into RGB by plain formulas; noted for CMYK and LAB, which look different by profile"),
    ("animations and several pages: GIF, APNG, WebP, AVIF, TIFF, MPO",
     "the first frame, and the note says of how many; of a layered PSD the merged picture"),
    ("EXIF orientation",
     "the picture is turned as it says, as every viewer does"),
    ("colour profile (ICC), gamma, other EXIF",
     "ignored: values are taken as they are stored"),
    ("HEIC, HEIF",
     "with pillow-heif (pip install pillow-heif), else named as not read"),
    ("camera raw (DNG, NEF, CR2, ...)",
     "refused: Pillow would read the small preview in it; develop it to PNG or TIFF first"),
    ("drawings and other files: SVG, PDF, EPS, text, ...",
     "no images: left out of a folder, and counted by suffix"),
    ("empty, truncated or damaged files, over 178 million pixels, pipes, links to nothing",
     "named as errors; the other images are read"),
    ("hidden files and folders (names that start with a dot)",
     "left out of a folder, and counted"),
    ("linked folders and files",
     "followed; what two links lead to is read once"),
)  # fmt: skip


def kinds_help() -> str:
    """Write the table for a terminal."""
    indent = " " * 6
    lines = [f"  {kind}\n{fill(what, 84, initial_indent=indent, subsequent_indent=indent)}"
             for kind, what in KINDS]  # fmt: skip
    introduction = "image files: whatever Pillow opens, by suffix or content. What becomes of them:"
    return "\n".join([introduction, *lines])
