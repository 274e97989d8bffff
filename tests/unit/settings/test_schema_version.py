"""Configs of other versions."""

import pytest

from decon3d.errors import ConfigError
from decon3d.settings import Settings, load_settings
from decon3d.settings.schema_version import SCHEMA_VERSION


def problems(**config):
    with pytest.raises(ConfigError) as error:
        load_settings(config)
    return error.value.problems


def test_a_newer_config_ends_in_one_line_whatever_else_it_holds():
    (line,) = problems(schema_version=SCHEMA_VERSION + 1, datasets={}, unknown=1)
    assert "this decon3d reads version 1; install a newer decon3d" in line


def test_a_config_without_a_version_is_of_this_one():
    assert Settings.model_fields["schema_version"].default == SCHEMA_VERSION


def test_an_old_config_gets_all_its_edits_and_nothing_else():
    methods = {
        "rl_residual": {"iterations": [2, 5]},
        "mine": {
            "kind": "rl_residual",
            "tv_weight": 0.002,
            "estimates": [{"iteration_factors": [1]}, {"iterations": [50], "tv_weight": 0.002}],
        },
        "rl": {"iterations": 5},
    }
    first, second = problems(methods=methods)
    assert first.startswith("methods.rl_residual: iterations is a key of an earlier version; remov")
    old = "tv_weight and estimates[1].iterations and estimates[1].tv_weight are keys of an earlier"
    assert second.startswith(f"methods.mine: {old} version; remove them")
