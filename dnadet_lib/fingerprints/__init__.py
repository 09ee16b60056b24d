"""Fingerprints: the traces that generators leave in residuals and spectra."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    residual=("residuals",),
    spectra=("Spectra", "decibels", "spectra_of"),
)
