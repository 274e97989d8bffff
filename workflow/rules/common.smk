# The validated config, and functions of it that the rules use. No rules.

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from math import prod
from pathlib import Path

from snakemake.exceptions import WorkflowError

CLONE = Path(workflow.current_basedir).parents[1]
sys.path.insert(0, str(CLONE / "scripts"))

from decon3d import paths
from decon3d.errors import UserError
from decon3d.settings.target_kernels import target_kernels
from decon3d.signals import handle_sigterm_in_a_thread
from decon3d.pairs.sources import SPLITS
from decon3d.preflight import check_headers, check_places, check_targets, list_inputs
from decon3d.restoration.remake import remake_missing
from decon3d.settings import (
    NAME,
    RESERVED_METHODS,
    Instrument,
    Phantoms,
    bundle_path,
    check_config_files,
    expand_path,
    instrument_files,
    instrument_folders,
    is_network,
    is_oracle,
    is_trained,
    is_tuned,
    listed_files,
    load_settings,
    may_use_gpu,
    needs_sample,
    path_problem,
    read_instrument,
    read_instruments,
    with_files,
)
from decon3d.versions import VERSIONS
from decon3d.volumes.fingerprints import fingerprint
from decon3d.volumes.headers import kept_headers
from decon3d.volumes.inputs import volume_files
from decon3d.volumes.volume import Reading

try:
    if problem := path_problem(str(CLONE), of_clone=True):
        raise UserError(problem)
    if workflow.is_main_process:
        check_config_files(workflow.configfiles)
    FOLDERS = instrument_folders(workflow.configfiles, CLONE)
    INSTRUMENT_FILES = instrument_files(FOLDERS)
    IN_CONFIG = set(config.get("instruments") or {})
    config.update(with_files(config, FOLDERS))  # for the scripts, too
    SETTINGS = load_settings(config)
    INPUTS = list_inputs(SETTINGS)
    if workflow.is_main_process:  # once per run: every job reads the Snakefile again
        check_places()
        check_targets(
            sys.argv[1:],
            SETTINGS,
            instruments={*SETTINGS.instruments, *INSTRUMENT_FILES},
        )
        if "instrument" in sys.argv:
            read_instruments(INSTRUMENT_FILES)
        HEADERS = check_headers(SETTINGS, INPUTS)
    else:
        HEADERS = kept_headers()
except UserError as error:
    sys.exit(str(error))

LOOK_ONLY = workflow.output_settings.dryrun or "verify" in sys.argv
if workflow.is_main_process and not any(Path(".snakemake/locks").glob("*")):
    for name in SETTINGS.datasets:
        for line in remake_missing(name, dry_run=LOOK_ONLY):
            print(line, file=sys.stderr)

VOLUMES = INPUTS.volumes
PREVIEWED = INPUTS.previewed
MEASURED = INPUTS.pairs
METHODS = SETTINGS.methods
PHANTOMS = SETTINGS.simulated_pairs
PROBE = PHANTOMS or Phantoms()  # the probes of the evaluation have its doses
RESTORATION = SETTINGS.restoration
NO_NAME = r"[^\s\S]"
CAPTIONS = str(CLONE / "workflow" / "report" / "page.rst")


# Results of datasets and methods of another config are not outputs of these rules.
wildcard_constraints:
    dataset="|".join(SETTINGS.datasets),
    channel="|".join({c: None for d in SETTINGS.datasets.values() for c in d.channels}),
    method="|".join([*METHODS, *sorted(RESERVED_METHODS)]),
    volume=NAME.strip("^$"),
    split="|".join(SPLITS),
    part=r"\d+",


def container_image():
    """The container's image; None if Apptainer cannot use the clone's path."""
    image = f"{CLONE}/envs/decon3d.sif"
    if re.fullmatch(r"[\w./+@,=-]+", image):
        return image
    if "APPTAINER" in {m.name for m in workflow.deployment_settings.deployment_method}:
        sys.exit(
            f"{CLONE}: Apptainer cannot use a clone whose path has spaces or the shell's "
            "characters; move the clone, or leave out `--sdm apptainer`"
        )
    return None


def methods_where(test):
    """Regular expression of the names of the methods that pass a test."""
    return names_where(lambda name: test(METHODS[name]), *METHODS)


def names_where(test, *names):
    """Regular expression of the names that pass a test."""
    return "|".join(filter(test, names)) or NO_NAME


def datasets_with_pairs(measured):
    """Regular expression of the names of the datasets with measured pairs, or of the others."""
    return (
        "|".join(n for n, pairs in MEASURED.items() if bool(pairs) == measured)
        or NO_NAME
    )


def dataset_of(wildcards):
    return SETTINGS.datasets[wildcards.dataset]


def channel_of(wildcards):
    return dataset_of(wildcards).channels[wildcards.channel]


def reading_of(wildcards):
    """The reading options of a dataset's files (`volumes.volume.Reading`), as plain values."""
    return vars(Reading.of(dataset_of(wildcards)))


def method_of(wildcards):
    return METHODS[wildcards.method]


def values(settings, **options):
    """A settings object as plain values, for a rule's params."""
    return settings.model_dump(mode="json", **options)


@lru_cache(maxsize=None)
def volume_size(dataset, volume):
    """A volume's uncompressed size in MB, and the Mvoxel of it that are restored."""
    chosen = SETTINGS.datasets[dataset]
    if chosen.simulate is not None:
        mvoxels = len(chosen.channels) * prod(chosen.simulate[volume].shape) / 1e6
        return 2 * mvoxels, mvoxels
    header = HEADERS.get((VOLUMES[dataset][volume].path, Reading.of(chosen)))
    if header is None:  # in a job, whose resources the main process has set
        return 0, 0
    times = header.shape[0] if chosen.times is None else len(chosen.times)
    mvoxels = times * len(chosen.channels) * prod(header.shape[2:]) / 1e6
    return prod(header.shape) * header.itemsize / 1e6, mvoxels


@lru_cache(maxsize=None)
def dataset_mvoxels(dataset, referenced=False):
    """Mvoxel of a dataset's restoration, or of its volumes with a reference."""
    volumes = VOLUMES[dataset].items()
    names = [name for name, v in volumes if v.reference or not referenced]
    return sum(volume_size(dataset, name)[1] for name in names)


# Least work of a job per minute, in Mvoxel, or MB for ingest: at most half of the rate of two slow
# cores in `make demo` (tables/cost.csv). A slower restoration, with hundreds of iterations, is
# stopped at its time limit and resumes in its next attempt.
PER_MINUTE = {
    "ingest": 200,
    "restore": 5,
    "finish": 100,
    "consistency": 30,
    "compare": 30,
}


def minutes_for(stage, amount, *, least):
    """Resource function: minutes for the amount of work, more with each attempt.

    A rule's `most_minutes` in the profile is the limit.
    """

    def minutes(wildcards, attempt, rulename):
        needed = attempt * (least + int(amount(wildcards) / PER_MINUTE[stage]))
        given = workflow.resource_settings.overwrite_resources.get(rulename, {})
        if "most_minutes" in given:
            return min(needed, given["most_minutes"].value)
        return needed

    return minutes


def block_mb(wildcards, attempt):
    """Memory of a job that works block by block."""
    return int(1000 * RESTORATION.memory_gb + 1500) * attempt


def voxel_size(wildcards):
    """A dataset's voxel size: the config's, else that in the header of the first volume, if known.

    The PSF depends on it, not on the file: a new volume with the same voxels changes nothing.
    """
    dataset = dataset_of(wildcards)
    header = HEADERS.get((first_volume(wildcards), Reading.of(dataset)))
    return dataset.voxel_size_um or (header and header.voxel_size_um)


def first_volume(wildcards):
    return next(iter(VOLUMES[wildcards.dataset].values())).path


def volume_seen(wildcards):
    """A fingerprint of an input volume; empty for simulated ones, which change by rules."""
    if dataset_of(wildcards).simulate is not None:
        return ""
    return fingerprint(VOLUMES[wildcards.dataset][wildcards.volume].path)


def frame_lists(camera):
    """The files of a camera's dark and flat frames."""
    return {role: listed_files(getattr(camera, role)) for role in ("dark", "flat")}


def camera_frames(camera):
    """The files of `frame_lists` in one list."""
    return [file for files in frame_lists(camera).values() for file in files]


def instrument_names():
    """The instruments in the config and in its folders."""
    names = [*SETTINGS.instruments, *INSTRUMENT_FILES]
    if not names:
        listed = ", ".join(map(str, FOLDERS))
        raise WorkflowError(f"No instrument was found; write <name>.yaml in {listed}")
    return list(dict.fromkeys(names))


def instrument_file(name):
    """The file that describes an instrument; None = the config."""
    return None if name in IN_CONFIG else str(INSTRUMENT_FILES[name])


@lru_cache(maxsize=None)
def instrument_of(name):
    """An instrument of the config, or from its file."""
    if name in SETTINGS.instruments:
        return SETTINGS.instruments[name]
    if name not in INSTRUMENT_FILES:
        raise WorkflowError(
            f"unknown instrument {name!r}; known: {', '.join(instrument_names())}"
        )
    try:
        return Instrument.model_validate(read_instrument(INSTRUMENT_FILES[name]))
    except UserError as error:
        raise WorkflowError(str(error)) from None


def beads_of(wildcards):
    """A dated bead stack, as the PSF of one channel of an instrument."""
    instrument = instrument_of(wildcards.instrument)
    stacks = instrument.objectives[wildcards.objective].beads
    stack = next(
        s
        for s in stacks
        if str(s.date) == wildcards.day and wildcards.dye in s.channels
    )
    return instrument.psf_of(stack, wildcards.dye)


def bead_path(wildcards):
    return expand_path(beads_of(wildcards).path)


def frames_of_day(wildcards):
    """The section with a camera's dark and flat frames of a day."""
    instrument = instrument_of(wildcards.instrument)
    dated = {str(frames.date): frames for frames in instrument.frames}
    return dated.get(wildcards.day, instrument.camera)


def instrument_records(name):
    """The records of an instrument: by channel and bead stack, and by day of the frames."""
    instrument = instrument_of(name)
    beads = [
        paths.instrument_beads(name, objective, stack.date, channel)
        for objective, value in instrument.objectives.items()
        for stack in value.beads
        for channel in stack.channels
    ]
    return beads + [paths.instrument_camera(name, day) for day in instrument.frame_days]


def references_seen(wildcards):
    """A fingerprint of the references in the config."""
    if dataset_of(wildcards).simulate is not None:
        return ""
    volumes = VOLUMES[wildcards.dataset].values()
    return fingerprint([v.reference for v in volumes if v.reference])


def psf_seen(wildcards):
    """A fingerprint of the file of a PSF or bead stack."""
    named = getattr(channel_of(wildcards).psf, "path", None)
    return fingerprint([expand_path(named)] if named else [])


def bundles_seen(wildcards):
    """A fingerprint of the input bundles that a method and its sources use.

    Of all methods and channels, if the wildcards have none.
    """
    channel, method = wildcards.get("channel"), wildcards.get("method")
    channels = [channel] if channel else dataset_of(wildcards).channels
    methods = chain_of(method) if method else METHODS
    named = [getattr(METHODS[name], "bundle", None) for name in methods]
    folders = [bundle_path(b, c) for b in named if b for c in channels]
    outside = [
        folder for folder in folders if os.path.normpath(folder) not in made_bundles()
    ]
    return fingerprint(bundle_files(outside))


def bundle_files(folders):
    return [
        f"{folder}/{n}" for folder in folders for n in ("model.json", "model.keras")
    ]


@lru_cache(maxsize=None)
def made_bundles():
    """The folders of the bundles that this workflow trains."""
    trained = [name for name, method in METHODS.items() if is_trained(method)]
    return {
        paths.model(name, channel, method)
        for name, dataset in SETTINGS.datasets.items()
        for channel in dataset.channels
        for method in trained
    }


def camera_known(wildcards):
    """Whether the config gives all numbers of a dataset's camera."""
    return dataset_of(wildcards).camera.is_known


def camera_record(wildcards):
    """The record of a channel's camera in the data, if the config does not give all numbers.

    A new volume changes it, but does not repeat training or tuning.
    """
    if camera_known(wildcards):
        return {}
    return {"noise": ancient(paths.noise(wildcards.dataset, wildcards.channel))}


def per_channel(path):
    """Input function: a path of the contract, for every channel of a dataset."""

    def expanded(wildcards):
        rest = {k: v for k, v in wildcards.items() if k in ("method",)}
        return [
            path(wildcards.dataset, channel, **rest)
            for channel in dataset_of(wildcards).channels
        ]

    return expanded


def ingested_volumes(wildcards):
    return [paths.ingested(wildcards.dataset, v) for v in VOLUMES[wildcards.dataset]]


def source_volumes(wildcards):
    """The volumes that a method starts from: the dataset's, or its `source`'s restored ones."""
    source = method_of(wildcards).source
    return [
        paths.ingested(wildcards.dataset, v, source) for v in VOLUMES[wildcards.dataset]
    ]


def channel_indices(wildcards):
    return {n: c.index for n, c in dataset_of(wildcards).channels.items()}


def restored_indices(wildcards):
    """The indices of the channels in a restored volume: in the order of the config."""
    return {name: i for i, name in enumerate(dataset_of(wildcards).channels)}


def source_indices(wildcards):
    """The indices of the channels in the volumes that a method starts from."""
    raw = method_of(wildcards).source is None
    return channel_indices(wildcards) if raw else restored_indices(wildcards)


def source_times(wildcards):
    """The times to restore of the volumes that a method starts from; None = all."""
    raw = method_of(wildcards).source is None
    return dataset_of(wildcards).times if raw else None


def of_channels(path):
    """Input function: a path of the contract without a method, for every channel."""
    return lambda w: [path(w.dataset, channel) for channel in dataset_of(w).channels]


def pairs_store(wildcards, split):
    """The split of the pairs that a method sees: as its `source` restores them, if it has one."""
    source = method_of(wildcards).source
    store = paths.phantoms(wildcards.dataset, wildcards.channel, split, source)
    return paths.store_marker(store)


def pair_volumes(wildcards):
    """The volumes of a dataset's measured pairs."""
    pairs = MEASURED[wildcards.dataset]
    return [path for pair in pairs for path in (pair.raw, pair.truth)]


def pair_files(wildcards):
    """All files of a dataset's measured pairs."""
    return [file for path in pair_volumes(wildcards) for file in volume_files(path)]


def part_markers(wildcards):
    return [
        paths.part(wildcards.dataset, wildcards.method, part)
        for part in range(RESTORATION.parts)
    ]


def bundle_folder(dataset, channel, method):
    """The bundle that a network method uses: trained here, or named in the config."""
    named = getattr(METHODS[method], "bundle", None)
    return (
        bundle_path(named, channel) if named else paths.model(dataset, channel, method)
    )


def trained_for(wildcards):
    """The bundles of a network method, one per channel, and the PSFs to compare them with."""
    if not is_network(method_of(wildcards)):
        return {}
    dataset, channels = wildcards.dataset, dataset_of(wildcards).channels
    folders = [bundle_folder(dataset, c, wildcards.method) for c in channels]
    return {
        "bundles": [f"{folder}/model.json" for folder in folders],
        "psfs": [paths.psf(dataset, c) for c in channels],
    }


def start_bundle(wildcards):
    """The files of the bundle that a training starts from, if it names one."""
    folder = method_of(wildcards).training.start_from
    return bundle_files([expand_path(folder)]) if folder else []


def method_inputs(wildcards):
    """The inputs of a restorer of one channel, besides the channel's statistics."""
    return inputs_of(wildcards.dataset, wildcards.channel, wildcards.method)


def inputs_of(*names):
    """The same, by the names of dataset, channel and method."""
    method = METHODS[names[2]]
    inputs = {"psf": paths.psf(*names[:2])}
    if is_tuned(method):
        inputs["tuning"] = paths.tuning(*names)
    if is_network(method):
        inputs["bundle"] = f"{bundle_folder(*names)}/model.json"
    return inputs


def chain_of(name):
    """A method after its sources; the first one starts from the data."""
    source = METHODS[name].source if name in METHODS else None
    before = chain_of(source) if source else []
    return [*before, name] if name in METHODS else []


def chain_inputs(wildcards):
    """The inputs and the states of the methods of a chain: role_<place in it>."""
    dataset, channel = wildcards.dataset, wildcards.channel
    inputs = {}
    for i, name in enumerate(chain_of(wildcards.method)):
        found = inputs_of(dataset, channel, name)
        found["state"] = paths.prepared(dataset, channel, name)
        inputs |= {f"{role}_{i}": path for role, path in found.items()}
    return inputs


def chain_may_use_gpu(name):
    return any(may_use_gpu(METHODS[n]) for n in chain_of(name))


def measured_light(wildcards):
    """The record of light and camera in the data, if the phantoms' config does not give all of it.

    It is used when the phantoms are first made; a new volume does not repeat the training.
    """
    if not PHANTOMS.needs_data(dataset_of(wildcards).camera):
        return []
    return [ancient(paths.noise(wildcards.dataset, wildcards.channel))]


def own_volumes(wildcards):
    """The user's own objects that a split draws from."""
    objects = PHANTOMS.of_split(wildcards.split).objects
    return [expand_path(entry.path) for entry in objects.values()]


def own_objects(wildcards):
    """The files of the user's own objects."""
    return [file for path in own_volumes(wildcards) for file in volume_files(path)]


def tuning_inputs(wildcards):
    """The inputs of a method's tuning, besides the PSF."""
    if method_of(wildcards).tune_on == "data":
        statistics = paths.statistics(wildcards.dataset, wildcards.channel)
        return {"volumes": ingested_volumes(wildcards), "statistics": statistics}
    split = "test" if is_oracle(method_of(wildcards)) else "val"
    return {"pairs": pairs_store(wildcards, split)}


def evaluations(wildcards):
    """The metric records of all methods, and of the blurred images themselves."""
    return evaluation_files(wildcards.dataset)


def evaluation_files(dataset):
    """The same, by the name of the dataset."""
    kinds = [
        "volumes",
        *(f"sample.{c}" for c in SETTINGS.datasets[dataset].channels),
    ]
    kinds += ["phantoms"] if SETTINGS.has_pairs(dataset) else []
    found = {
        "input": kinds,
        **{method: [*kinds, "consistency"] for method in METHODS},
    }
    return [
        paths.evaluation(dataset, method, kind)
        for method in found
        for kind in found[method]
    ]


def likeness_records(wildcards):
    """The similarity of phantoms and data, if the dataset has phantoms."""
    return likeness_files(wildcards.dataset)


def likeness_files(dataset):
    """The same, by the name of the dataset."""
    if PHANTOMS is None or MEASURED[dataset]:
        return []
    return [paths.likeness(dataset, c) for c in SETTINGS.datasets[dataset].channels]


def all_records(wildcards):
    """The records of every stage of all datasets, which exist after a complete run.

    If a later file exists, Snakemake does not make a missing earlier one. A record that a failed
    job removed after its input had changed would then leave the old results in place.
    """
    found = []
    for dataset in SETTINGS.datasets:
        channels = SETTINGS.datasets[dataset].channels
        sources = [None, *{m.source: None for m in METHODS.values() if m.source}]
        if SETTINGS.datasets[dataset].camera.dark:
            found.append(paths.camera_maps(dataset))
        for source in sources:
            found += [paths.ingested(dataset, v, source) for v in VOLUMES[dataset]]
            found += [paths.statistics(dataset, c, source) for c in channels]
        found += [
            path(dataset, c)
            for c in channels
            for path in (paths.psf, paths.noise, paths.psf_fit)
        ]
        for name, method in METHODS.items():
            found += [paths.prepared(dataset, c, name) for c in channels]
            if is_trained(method):
                found += [
                    f"{paths.model(dataset, c, name)}/model.json" for c in channels
                ]
            found += [
                path(dataset, name)
                for path in (paths.plan, paths.finished, paths.consistency_record)
            ]
        found += evaluation_files(dataset)
        found += likeness_files(dataset)
        found += [paths.table(dataset, "metrics.csv"), paths.report(dataset)]
        found.append(f"{paths.figures(dataset)}/index.json")
    return found


def gives_gpu(rule):
    """Whether the profile gives a rule's jobs a GPU."""
    given = workflow.resource_settings.overwrite_resources.get(rule, {})
    return bool({"gpu", "gres"} & set(given))


def partial_report(wildcards):
    """The marker of pages made of partial results, if it exists."""
    return [paths.PARTIAL_REPORT] if Path(paths.PARTIAL_REPORT).is_file() else []


def report_what_is_there():
    """After an error, make the pages from the existing results."""
    if LOOK_ONLY:  # `snakemake verify` writes nothing but its log
        return
    results = "results" if Path("results").is_dir() else "."
    if shutil.disk_usage(results).free < 50e6:
        print("The disk is full, so no page was made of the results.", file=sys.stderr)
        return
    script = CLONE / "scripts" / "report_existing.py"
    subprocess.run(
        [sys.executable, str(script)],
        input=json.dumps(config, default=str),  # dates
        text=True,
        check=False,
    )
