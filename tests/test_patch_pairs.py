import numpy as np
import pytest

from dnadet_lib.course.patch_pairs import class_gaps, kinds_of_pairs


def test_every_pair_has_one_kind_and_no_patch_is_paired_with_itself():
    kinds = kinds_of_pairs(np.array([0, 0, 1]), 2)
    total = sum(mask.astype(int) for mask in kinds.values())
    np.testing.assert_array_equal(total, 1 - np.eye(6))
    assert kinds["same image"][0].tolist() == [False, True, False, False, False, False]
    assert kinds["same class, other image"][0].tolist() == [False, False, True, True, False, False]
    assert kinds["other class"][0].tolist() == [False] * 4 + [True] * 2


def test_gaps_are_means_over_the_patches_of_a_source():
    kinds = kinds_of_pairs(np.array([0, 0, 1, 1]), 1)
    cosines = np.array(
        [[1, 0.9, 0.1, 0.3], [0.9, 1, 0.2, 0.2], [0.1, 0.2, 1, 0.5], [0.3, 0.2, 0.5, 1]]
    )
    gaps = class_gaps(cosines, kinds, np.array(["a", "a", "b", "b"]))
    assert gaps.to_dict() == pytest.approx({"a": 0.7, "b": 0.3})
