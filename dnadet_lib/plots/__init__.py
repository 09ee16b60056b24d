"""Figures: one style, and one colour and marker per class wherever it appears."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    style=(
        "CLASS_COLOURS", "CLASS_MARKERS", "FOREIGN_COLOURS", "LEGEND_CHARACTERS", "LINE_COLOURS",
        "NOT_LABELLED", "OTHER_COLOUR", "OTHER_MARKER", "class_legend", "colour_of",
        "legend_columns", "marker_of", "plt", "save", "show", "use_style",
    ),
    pictures=(
        "attributions", "filters", "image_grid", "patches_on_image",
    ),
    axes=(
        "curves", "histograms", "matrix", "scatter_map",
    ),
    results=(
        "answer_bars", "confusions", "generator_dots", "ladder_dots", "position_maps",
        "posterior_curves", "spread_dots", "suite_dots",
    ),
)
