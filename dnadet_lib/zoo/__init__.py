"""The pocket zoo: its generators and photographs, the manifest, set-ups and rendering."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    abroad=("GeneratorAbroad", "folder_abroad", "read_abroad"),
    manifest=("CLASSES", "FIELDS", "Generator", "LOSSES", "ROLES", "read_manifest"),
    rendering=(
        "CHUNK", "LATENT_SEEDS", "POCKET", "PROFILES", "SMOKE", "RenderCounts",
        "draw_latents", "image_root", "render", "render_abroad", "render_photos", "render_split",
        "rendered_images"
    ),
    setups=(
        "OTHER_SETUPS", "SETUPS", "available_setups", "load_setup",
        "present_setups", "setup_of"
    ),
)
