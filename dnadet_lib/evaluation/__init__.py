"""How good a model is: predictions, results with intervals, calibration, audits."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    predictions=(
        "Predictions", "predict", "predict_readable", "predictions_table", "write_predictions",
    ),
    results=(
        "Row", "confusion", "generator_accuracies", "lead", "markdown_table", "results_table",
        "setup_accuracy", "summarise", "write_results",
    ),
    intervals=(
        "Interval", "bootstrap_accuracy", "difference_interval", "drawn_together",
        "mean_interval", "mean_of_setups",
    ),
)
