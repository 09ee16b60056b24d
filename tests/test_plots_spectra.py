import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from dnadet_lib import plots  # noqa: E402
from dnadet_lib.plots import plots_spectra  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    yield
    plots.plt.close("all")


def test_maps_share_one_scale_of_colours():
    rows = {name: [np.full((8, 8), k + place) for place in range(3)]
            for k, name in enumerate(("top", "bottom"))}  # fmt: skip
    figure = plots_spectra.map_rows(
        rows, ["a", "b", "c"], reach=0.5, unit="cycles per pixel", limits=(-1, 2), label="dB"
    )
    images = [image for axis in figure.axes for image in axis.get_images()]
    assert len(images) == 6
    assert {image.get_clim() for image in images} == {(-1, 2)}
    assert figure.axes[0].get_ylabel() == "top"
    assert [axis.get_title() for axis in figure.axes[:3]] == ["a", "b", "c"]


def test_profiles_have_the_classes_colours_and_dashes_for_the_second_generator():
    powers = {"Real": [np.ones((64, 64))], "SNGAN": [np.ones((64, 64)), np.full((64, 64), 2.0)]}
    figure = plots_spectra.power_profiles(powers)
    for axis in figure.axes:
        lines = axis.get_lines()
        assert [line.get_color() for line in lines] == [
            plots.colour_of(name) for name in ("Real", "SNGAN", "SNGAN")
        ]
        assert [line.get_linestyle() for line in lines] == ["-", "-", "--"]
        assert "(dB)" in axis.get_ylabel()
    assert [axis.get_xlabel() for axis in figure.axes] == ["cycles per pixel", "degrees"]
    radial, angular = (axis.get_lines()[2].get_ydata() for axis in figure.axes)
    np.testing.assert_allclose(radial, 10 * np.log10(2))
    np.testing.assert_allclose(angular, 0, atol=1e-9)


def test_each_class_has_a_panel_of_profiles_beside_the_photographs():
    names = ("Real", "MMDGAN", "SNGAN")
    figure = plots_spectra.power_profiles({name: [np.ones((64, 64))] for name in names})
    assert [axis.get_title() for axis in figure.axes] == ["MMDGAN", "SNGAN", "", ""]
    for axis, name in zip(figure.axes, ("MMDGAN", "SNGAN") * 2, strict=True):
        colours = [line.get_color() for line in axis.get_lines()]
        assert colours == [plots.colour_of("Real"), plots.colour_of(name)]


def test_shifts_begin_at_zero_with_the_classes_colours():
    (axis,) = plots_spectra.shift_curves({"Real": [0.1, 0.0], "SNGAN": [0.4, 0.2]}).axes
    assert [line.get_color() for line in axis.get_lines()] == [
        plots.colour_of(name) for name in ("Real", "SNGAN")
    ]
    np.testing.assert_array_equal(axis.get_lines()[1].get_xydata(), [[0, 0.4], [1, 0.2]])


def test_similarities_name_each_class_once():
    table = np.eye(4)
    labels = ["ProGAN", "ProGAN", "SNGAN", "SNGAN"]
    figure = plots_spectra.similarity_maps({"left": table, "right": table}, labels)
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks == ["ProGAN", "SNGAN"]
    np.testing.assert_allclose(figure.axes[0].get_xticks(), [0.5, 2.5])
