"""The explorer: maps of embeddings, and the images behind their points."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    explorer=(
        "add_map", "by_confidence", "circle", "compare", "counts", "export", "frame", "keep",
        "lasso", "moved", "neighbours", "quality"
    ),
    state=("Explorer", "add_checkpoint", "add_images", "open_images", "open_table"),
    columns=("CATEGORIES", "MARKS", "NUMBERS", "as_text", "colours"),
    figures=("figure", "histograms_figure", "neighbours_figure", "selection_figure"),
    filtering=("Filters", "Histogram", "histogram", "limit", "passing", "scale"),
    saving=("Saved", "save"),
    searching=("search",),
    tags=("annotate", "tag", "untag"),
)
