"""Fingerprints: the traces that generators leave in residuals and spectra."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    residual=(
        "DENOISERS", "Denoiser", "NOISE", "WINDOWS", "high_pass_denoise", "median_denoise",
        "residuals", "wavelet_denoise",
    ),
    spectra=(
        "CORNER", "Spectra", "angular_profile", "autocorrelation", "decibels", "frequencies",
        "period_level", "radial_profile", "spectra_of",
    ),
)
