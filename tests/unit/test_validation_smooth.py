"""One case each goes the way of `make validate VALIDATE="staircase roughness"`."""

from validation import validate_roughness, validate_staircase


def test_total_variation_alone_paints_the_smooth_nucleus():
    found = dict(validate_staircase.judged("smooth", "confocal", 500, 1))
    assert {name for name, f in found.items() if f.warns} <= {n for n in found if "RLTV" in n}
    assert found["RLTV, λ 0.002, 60 iterations"].warns
    assert not any(f.flat_object for f in found.values())


def test_the_roughness_is_ahead_of_richardson_lucy_on_a_smooth_object():
    found = validate_roughness.compare("haze", "confocal", 500)
    assert found["RL roughness"][0] > found["RL"][0] + 0.3
