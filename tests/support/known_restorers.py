"""Restorers whose answer is known, and the block machine that they drive."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter

from decon3d.restoration.finish import finish
from decon3d.restoration.part import restore_part
from decon3d.restoration.plan import load_plan, make_plan
from decon3d.restoration.restorers import State
from decon3d.settings import Restoration
from decon3d.volumes.ingest import ingest

IDENTITY = State("identity", (0, 0, 0), (1, 1, 1), True, 4.0, {})
LOCAL = State("local", (2, 2, 2), (2, 2, 2), True, 4.0, {})


class Known:
    """Identity, or a mean over 5 x 5 x 5 voxels, by the state's kind."""

    calls = 0

    def __init__(self, state):
        self.kind = state.kind

    def restore(self, block, origin, inner):
        Known.calls += 1
        block = block.astype(np.float32)
        return (uniform_filter(block, 5) if self.kind == "local" else block)[inner]


@dataclass
class Machine:
    """Plans, parts and finish in a folder that holds `v.tif`."""

    folder: Path

    def plan(self, volumes=("v",), state=IDENTITY, times=None, **options):
        records = [
            ingest(
                str(self.folder / "v.tif"),
                record_path=self.folder / f"{name}.json",
                name=name,
                channels={"gfp": 1, "rfp": 2},
                voxel_size_um=None,
                times=times,
                key="d",
            )
            for name in volumes
        ]
        plan = make_plan(
            method="m",
            states={"rfp": state, "gfp": state},
            records=records,
            stores=[str(self.folder / f"{name}.out") for name in volumes],
            channels={"rfp": 2, "gfp": 1},
            times=times,
            restoration=Restoration(**options),
            path=self.folder / "plan.json",
        )
        self.records, self.state = records, state
        assert load_plan(self.folder / "plan.json") == plan
        return plan

    def part(self, number):
        marker = self.folder / "parts" / f"{number}.json"
        states = [self.state, self.state]
        restore_part(self.folder / "plan.json", states, part=number, marker=marker, threads=1)
        return json.loads(marker.read_text())

    def finish(self):
        parts = self.folder / "parts"
        return finish(self.folder / "plan.json", self.records, progress=parts, provenance={})
