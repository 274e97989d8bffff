"""Held-out photons choose Richardson-Lucy's iterations nearly as well as the truth would."""

import pytest
from held_out_choice import light_sheet, lost_by_deviance


@pytest.mark.parametrize(("photons", "iterations"), [(50.0, 40), (500.0, 60), (5000.0, 120)])
def test_held_out_photons_lose_little(photons, iterations):
    chosen, best, lost = lost_by_deviance(light_sheet(), photons, iterations=iterations)
    assert 3 < chosen < iterations and 3 < best < iterations  # both stop before the end
    assert 0 <= lost <= 0.5
