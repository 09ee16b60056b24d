"""The course: what lessons share, their exercises, running them and their web site."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    lessons=(
        "CLONE", "INSTALL", "Lesson", "LessonError", "PACKAGES", "REPAIR", "bare_layouts",
        "device_name", "environment", "images_by_seed", "is_rendered", "noise", "pick",
        "present_setups", "saved", "shuffled", "start",
    ),
    lesson_models=(
        "DEFAULT_MODELS", "baseline_preset", "description", "discriminant_preset", "fresh",
        "load_model", "name_of", "pretraining_preset", "shipped", "shipped_or_tiny", "stage_one",
        "stage_two", "training_preset", "whole_raw",
    ),
    quiz=("ask",),
    running=(
        "describe_failure", "execute", "lesson_files", "own_kernel", "run_lessons", "variables",
    ),
    submission=("sign",),
)
