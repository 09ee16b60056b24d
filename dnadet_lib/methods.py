"""The rows of the table: rivals, the ablation ladder with and without the front end, faults.

The ladder goes from DNA-Det's backbone on whole images up to the whole method, one step a row:
pre-training on transformations, patches, the contrastive loss, learned loss weights. Every rung is
trained as the `pocket` preset is, but for what its name says.
"""

from __future__ import annotations

from dataclasses import replace

from dnadet_lib.baselines import DCTCNN, AttNet, DCTRegression, ResidualCorrelation
from dnadet_lib.presets import Preset, pocket
from dnadet_lib.suite import Method, baseline, network

REFERENCE = "high-pass, all"  # the row that leads are measured from
PRETRAINED = {True: "pocket_pretrain", False: "pocket_pretrain_raw"}  # by front end


def ladder(high_pass: bool) -> dict[str, tuple[Preset, str | None]]:
    """Name the rungs with or without the front end: preset and pre-trained checkpoint."""
    front = "high-pass" if high_pass else "raw"
    top = replace(pocket, name=f"{front} all", input=replace(pocket.input, high_pass=high_pass))
    contrast = replace(top, name=f"{front} contrast", learned_weights=False)
    patches = replace(contrast, name=f"{front} patches", contrast=False)
    whole = replace(
        patches, name=f"{front} whole", patches=0, input=replace(top.input, vote="whole")
    )
    enlarged = replace(
        top, name=f"{front} enlarged", input=replace(top.input, resize=256, patch=64, vote="whole")
    )
    pretrained = PRETRAINED[high_pass]
    return {
        f"{front}, base": (whole, None),
        f"{front}, + pre-training": (whole, pretrained),
        f"{front}, + patches": (patches, pretrained),
        f"{front}, + contrast": (contrast, pretrained),
        f"{front}, all": (top, pretrained),
        f"{front}, all, enlarged 4x": (enlarged, pretrained),
    }


def all_methods() -> dict[str, Method]:
    """Name every row of the table."""
    rivals = {
        "residual correlation": ResidualCorrelation(),
        "DCT regression": DCTRegression(),
        "DCT-CNN": DCTCNN(),
        "AttNet": AttNet(width=8),
    }
    rows = {name: baseline(estimator) for name, estimator in rivals.items()}
    for high_pass in (False, True):
        for name, (preset, pretrained) in ladder(high_pass).items():
            rows[name] = network(preset, pretrained)
    faulty = replace(pocket, name="double softmax", double_softmax=True)
    rows["high-pass, all, double softmax"] = network(faulty, PRETRAINED[True])
    return {name: Method(name, fit) for name, fit in rows.items()}
