import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from support import photograph

from dnadet_lib.bench.baselines import DCTRegression, ResidualCorrelation, log_dct
from dnadet_lib.bench.networks import DCTCNN, AttNet, attnet
from dnadet_lib.zoo.layers import EqualizedConv2d

SIDE = 32
BASELINES = {
    "residual": ResidualCorrelation(),
    "residual, high-pass": ResidualCorrelation("high-pass"),
    "DCT regression": DCTRegression(C=0.1),
    "DCT regression, high-pass": DCTRegression(C=0.1, high_pass=True),
    "DCT-CNN": DCTCNN(epochs=10, batch_size=8),
    "AttNet, high-pass": AttNet(high_pass=True, epochs=10, batch_size=8, width=2),
}
each = pytest.mark.parametrize("name", BASELINES)


def traced(count, seed, strength=8):
    """Photographs with one of three periodic traces, as three ways of upsampling leave them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    slow_x, slow_y = np.cos(np.pi * x / 2), np.cos(np.pi * y / 2)
    traces = [(-1.0) ** x * slow_y, (-1.0) ** y * slow_x, (-1.0) ** (x + y)]
    labels = np.tile(["columns", "rows", "chequers"], count)
    images = np.stack(
        [
            photograph(rng, SIDE, SIDE) / 2 + 60 + strength * traces[k % 3][..., None]
            for k in range(len(labels))
        ]
    )
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def train():
    return traced(40, 0)


@pytest.fixture(scope="module")
def unseen():
    return traced(12, 1)


@each
def test_a_periodic_trace_is_recognised_in_new_images(name, train, unseen):
    fitted = clone(BASELINES[name]).fit(*train)
    assert list(fitted.classes_) == ["chequers", "columns", "rows"]
    assert fitted.score(*unseen) > 0.9


@each
def test_nothing_is_recognised_where_there_is_no_trace(name):
    fitted = clone(BASELINES[name]).fit(*traced(40, 0, strength=0))
    assert fitted.score(*traced(40, 1, strength=0)) < 0.55


@each
def test_the_seed_decides_the_result(name, train, unseen):
    first, second = (clone(BASELINES[name]).fit(*train) for _ in range(2))
    scores = "predict_proba" if hasattr(first, "predict_proba") else "decision_function"
    np.testing.assert_array_equal(
        getattr(first, scores)(unseen[0]), getattr(second, scores)(unseen[0])
    )


@each
def test_scores_have_a_column_a_class_and_agree_with_the_prediction(name, train, unseen):
    fitted = clone(BASELINES[name]).fit(*train)
    if hasattr(fitted, "predict_proba"):
        scores = fitted.predict_proba(unseen[0])
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    else:
        scores = fitted.decision_function(unseen[0])
        assert np.abs(scores).max() <= 1
    assert scores.shape == (len(unseen[0]), 3)
    assert (fitted.classes_[scores.argmax(axis=1)] == fitted.predict(unseen[0])).all()


@each
def test_bad_input_is_named(name, train):
    baseline = clone(BASELINES[name])
    images, labels = train
    with pytest.raises(NotFittedError):
        baseline.predict(images)
    with pytest.raises(ValueError, match=r"float64 \(120, 32, 32, 3\): expected uint8"):
        baseline.fit(images / 255, labels)
    with pytest.raises(ValueError, match="120 images, but 119 labels"):
        baseline.fit(images, labels[1:])
    with pytest.raises(ValueError, match="one class only, 'rows'"):
        baseline.fit(images[labels == "rows"], labels[labels == "rows"])
    baseline.fit(images[:30], labels[:30])
    with pytest.raises(ValueError, match="16x32 pixels, but the classifier was fitted on 32x32"):
        baseline.predict(images[:, :, :16])


def test_a_network_that_diverges_says_so(train):
    with pytest.raises(ValueError, match="training diverges, the loss is .*; try a smaller learn"):
        AttNet(epochs=20, batch_size=12, width=2, learning_rate=1e30).fit(*train)


def test_scikit_learn_can_cross_validate_a_baseline(train):
    assert cross_val_score(ResidualCorrelation("median"), *train, cv=3).min() > 0.8


def test_a_shift_by_one_pixel_breaks_a_fingerprint(train, unseen):
    """Chequers change sign; the correlation with their fingerprint does too."""
    images, labels = unseen
    fitted = ResidualCorrelation().fit(*train)
    member = labels == "chequers"
    own = list(fitted.classes_).index("chequers")
    still = fitted.decision_function(images[member])[:, own]
    shifted = fitted.decision_function(np.roll(images[member], 1, axis=1))[:, own]
    assert still.min() > 0.15
    np.testing.assert_allclose(shifted, -still, rtol=0.3)


def test_log_dct_finds_the_coefficient_of_a_cosine():
    x = np.arange(SIDE)
    wave = 128 + 60 * np.cos(np.pi * 5 * (2 * x + 1) / (2 * SIDE))
    images = np.broadcast_to(wave[None, None, :, None], (1, SIDE, SIDE, 3)).round()
    spectrum = log_dct(images.astype(np.uint8))[0, :, :, 0]
    spectrum[0, 0] = -np.inf
    assert np.unravel_index(spectrum.argmax(), spectrum.shape) == (0, 5)
    np.testing.assert_allclose(np.exp(spectrum[0, 5]), 60 * SIDE / np.sqrt(2), rtol=0.01)


def test_attnet_has_the_published_widths():
    layers = [m for m in attnet(128, 5) if isinstance(m, EqualizedConv2d)]
    widths = [(m.in_channels, m.out_channels, m.kernel_size[0]) for m in layers]
    assert widths == [
        (3, 16, 3), (16, 32, 3), (32, 32, 3), (32, 64, 3), (64, 64, 3), (64, 128, 3),
        (128, 128, 3), (128, 256, 3), (256, 256, 3), (256, 512, 3),
        (512, 512, 3), (512, 512, 4), (512, 5, 1),
    ]  # fmt: skip
    assert attnet(64, 5)(torch.zeros(2, 3, 64, 64)).shape == (2, 5)
    with pytest.raises(ValueError, match="100x100 pixels: AttNet needs a power of two"):
        attnet(100, 5)


def test_a_network_needs_squares(train):
    with pytest.raises(ValueError, match="16x32 pixels: give squares"):
        DCTCNN().fit(train[0][:, :, :16], train[1])


def test_the_history_is_the_loss_of_every_epoch(train):
    fitted = AttNet(epochs=5, batch_size=16, width=2, learning_rate=1e-2).fit(*train)
    assert len(fitted.history_) == 5
    assert fitted.history_[-1] < fitted.history_[0]


def test_half_of_the_training_images_are_mirrored(train):
    seen = []

    class Watched(AttNet):
        def _inputs(self, images):
            seen.append(images.copy())
            return super()._inputs(images)

    images = train[0][:12]
    Watched(epochs=4, batch_size=12, width=2).fit(images, train[1][:12])
    originals = {image.tobytes() for image in images}
    mirrors = {image[:, ::-1].tobytes() for image in images}
    shown = [image.tobytes() for batch in seen for image in batch]
    assert all((image in originals) != (image in mirrors) for image in shown)
    assert 0.2 < np.mean([image in mirrors for image in shown]) < 0.8
