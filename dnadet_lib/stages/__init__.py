"""Training runs: labelled images and checks of them, both stages, and a run's folder."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    stage_1=(
        "IMAGES_A_TRANSFORMATION", "build_model", "photograph_crops", "predict_transformations",
        "pretrained_model", "pretraining_scores", "run_pretraining", "transformation_set"
    ),
    stage_2=("calibrate", "fit_temperature", "history_frame", "run_training", "training_data"),
    labelled=("read_labelled",),
)
