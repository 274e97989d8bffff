# The validated config, and functions of wildcards that the rules use. No rules.

import datetime
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger


def unpacked(place):
    """Folder with the files of a repository's commit: the library lies beside the rules.

    A module's Snakefile may come from a repository (`github(…)`, as snakedeploy writes it). Of
    this, Snakemake reads single files only. All nodes see the working directory.
    """
    from git import Repo  # Snakemake needs it, too

    repository = (
        place.hosted_repo.repo_clone
        if hasattr(place, "hosted_repo")
        else place.repo_path
    )
    commit = Repo(repository).commit(place.ref)
    folder = Path(".snakemake", "decon3d", commit.hexsha).absolute()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(dir=folder.parent)
        archive = BytesIO(
            Repo(repository).git.archive(commit.hexsha, stdout_as_string=False)
        )
        with tarfile.open(fileobj=archive) as files:
            files.extractall(temporary, filter="data")
        try:
            os.rename(temporary, folder)
        except OSError:  # another process was faster
            shutil.rmtree(temporary)
    # The scripts of jobs run from Snakemake's cache.
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if (library := str(folder / "scripts")) not in known:
        os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [*known, library])))
    return folder


_basedir = workflow.current_basedir
CLONE = (
    Path(_basedir).parents[1]
    if isinstance(_basedir, os.PathLike)
    else unpacked(_basedir)
)
sys.path.insert(0, str(CLONE / "scripts"))

try:
    import decon3d.preflight  # what parsing needs
except ModuleNotFoundError as error:
    sys.exit(
        f"{error}: the environment of Snakemake lacks packages that decon3d needs; "
        f"pip install -r {shlex.quote(str(CLONE / 'envs' / 'cpu.lock.txt'))}"
    )

from decon3d import paths
from decon3d.errors import UserError
from decon3d.jobs import Jobs, bundle_files
from decon3d.networks.shipped import bundle_folder
from decon3d.pairs.sources import SPLITS
from decon3d.preflight import check_headers, check_places, check_targets, list_inputs
from decon3d.restoration.remake import remake_missing
from decon3d.settings import (
    NAME,
    Instrument,
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
from decon3d.settings.decisive import decisive
from decon3d.settings.target_kernels import target_kernels
from decon3d.signals import handle_sigterm_in_a_thread
from decon3d.slurm.advice import DEFAULT, NEEDS
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

JOBS = Jobs(SETTINGS, INPUTS, HEADERS, in_job=not workflow.is_main_process)
LOOK_ONLY = workflow.output_settings.dryrun or "verify" in sys.argv
if workflow.is_main_process and not any(Path(paths.LOCKS).glob("*")):
    for name in SETTINGS.datasets:
        for line in [
            *remake_missing(name, dry_run=LOOK_ONLY),
            *JOBS.forget_plans(name, dry_run=LOOK_ONLY),
        ]:
            print(line, file=sys.stderr)

METHODS = SETTINGS.methods
PHANTOMS = SETTINGS.simulated_pairs
PAIRED = {name for name in SETTINGS.datasets if SETTINGS.has_pairs(name)}
NO_NAME = r"[^\s\S]"
CAPTIONS = str(CLONE / "workflow" / "report" / "page.rst")


def names_where(test, names):
    """Regular expression of the names that pass a test."""
    return "|".join(filter(test, names)) or NO_NAME


def methods_where(test):
    """Regular expression of the names of the methods that pass a test."""
    return names_where(lambda name: test(METHODS[name]), METHODS)


# Results of datasets and methods of another config are not outputs of these rules.
wildcard_constraints:
    dataset="|".join(SETTINGS.datasets),
    channel="|".join({c: None for d in SETTINGS.datasets for c in JOBS.channels(d)}),
    method="|".join(METHODS),
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


# Input functions.


def per_channel(path):
    """A path for every channel of the dataset."""
    return lambda w: [_path(path, w, channel=c) for c in JOBS.channels(w.dataset)]


def per_volume(path):
    """A path for every volume of the dataset."""
    return lambda w: [_path(path, w, volume=v) for v in JOBS.volumes(w.dataset)]


def per_method(path):
    """A path for every method."""
    return lambda w: [_path(path, w, method=m) for m in METHODS]


def _path(path, wildcards, **more):
    return path.format(**dict(wildcards.items()), **more)


def if_pairs(paths):
    """What another input function lists, if the dataset has pairs with truth."""
    return lambda w: paths(w) if w.dataset in PAIRED else []


def unless_camera_is_known(**inputs):
    """Inputs that are needed if the config does not give all numbers of the camera.

    A new volume changes the record of the noise, but repeats no training and no tuning.
    """
    return lambda w: (
        {}
        if dataset_of(w).camera.is_known
        else {name: ancient(_path(path, w)) for name, path in inputs.items()}
    )


def source_volumes(wildcards):
    """The volumes that a method starts from: the dataset's, or its `source`'s restored ones."""
    return JOBS.source_records(wildcards.dataset, wildcards.method)


def source_statistics(wildcards):
    """The statistics of a channel of the volumes that a method starts from."""
    source = method_of(wildcards).source
    return paths.statistics(wildcards.dataset, wildcards.channel, source)


def pairs(split):
    """The pairs that a method sees: as its `source` restores them, if it has one."""
    return lambda w: JOBS.source_pairs(w.dataset, w.channel, w.method, _path(split, w))


def restorer(wildcards):
    """The files that a restorer of one channel is prepared from, besides its statistics."""
    return JOBS.restorer(wildcards.dataset, wildcards.channel, wildcards.method)


def restorers(wildcards):
    """The files and states of a method and its sources, for every channel."""
    return JOBS.restorers(wildcards.dataset, wildcards.method)


def restorers_without_gpu(wildcards):
    """The same, if none of them may use a GPU."""
    return {} if JOBS.chain_may_use_gpu(wildcards.method) else restorers(wildcards)


def bundles_and_psfs(wildcards):
    """The bundles of a network method, one per channel, and the PSFs to compare them with."""
    if not is_network(method_of(wildcards)):
        return {}
    dataset, channels = wildcards.dataset, JOBS.channels(wildcards.dataset)
    folders = [JOBS.bundle(dataset, c, wildcards.method) for c in channels]
    return {
        "bundles": [f"{folder}/model.json" for folder in folders],
        "psfs": [paths.psf(dataset, c) for c in channels],
    }


def start_bundle(wildcards):
    """The files of the bundle that a training starts from, if it names one."""
    method = method_of(wildcards)
    start = method.training.start_from
    return bundle_files(bundle_folder(start, kind=method.kind)) if start else []


def tuning_data(wildcards):
    """What a method is tuned on: the data, the validation pairs, or those with the test truth."""
    if method_of(wildcards).tune_on == "data":
        return {
            "volumes": per_volume("results/{dataset}/ingest/{volume}.json")(wildcards),
            "statistics": paths.statistics(wildcards.dataset, wildcards.channel),
        }
    split = "test" if is_oracle(method_of(wildcards)) else "val"
    return {"pairs": pairs(split)(wildcards)}


def parts(wildcards):
    """The markers of all parts of a restoration."""
    count = JOBS.parts(wildcards.dataset, wildcards.method)
    return [
        paths.part(wildcards.dataset, wildcards.method, part) for part in range(count)
    ]


def volume_path(wildcards):
    """The path of a volume in the config."""
    return INPUTS.volumes[wildcards.dataset][wildcards.volume].path


def raw_files(wildcards):
    """The files of a volume."""
    return volume_files(volume_path(wildcards))


def for_batch(batch, function):
    """A function of wildcards, for the rule of a batch, which has none."""
    return lambda w: function(batch)


def batch_files(batch):
    """The files of a batch's volumes, or what restored ones are ingested from."""
    if batch.source:
        raw = [paths.ingested(batch.dataset, volume) for volume in batch.volumes]
        return [paths.finished(batch.dataset, batch.source), *raw]
    return [
        file for path in batch_sources(batch).values() for file in volume_files(path)
    ]


def batch_sources(batch):
    """The path of each volume of a batch, by its name."""
    given = INPUTS.volumes[batch.dataset]
    return {
        volume: (
            paths.restored(batch.dataset, volume, batch.source)
            if batch.source
            else given[volume].path
        )
        for volume in batch.volumes
    }


def camera_maps(wildcards):
    """The maps of the camera's pixels, if the config has dark frames."""
    return (
        [paths.camera_maps(wildcards.dataset)]
        if dataset_of(wildcards).camera.dark
        else []
    )


def reference_files(wildcards):
    """The files of the references of a dataset's volumes."""
    references = JOBS.references(wildcards.dataset).values()
    return [file for reference in references for file in volume_files(reference)]


def psf_path(wildcards):
    """The file of a PSF or bead stack in the config; None if the PSF is computed."""
    named = getattr(channel_of(wildcards).psf, "path", None)
    return named and expand_path(named)


def psf_files(wildcards):
    """The files of a PSF or bead stack, if the config has one."""
    path = psf_path(wildcards)
    return volume_files(path) if path else []


def pair_volumes(wildcards):
    """The volumes of a dataset's measured pairs."""
    return [
        path
        for pair in INPUTS.pairs[wildcards.dataset]
        for path in (pair.raw, pair.truth)
    ]


def pair_files(wildcards):
    """All files of a dataset's measured pairs."""
    return [file for path in pair_volumes(wildcards) for file in volume_files(path)]


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


def own_files(wildcards):
    """The files of the user's own objects."""
    return [file for path in own_volumes(wildcards) for file in volume_files(path)]


def records(wildcards):
    """The records of all stages that a dataset's page reads."""
    return list(JOBS.records(wildcards.dataset))


def all_records(wildcards):
    """The records of all datasets, which exist after a complete run.

    If a later file exists, Snakemake does not make a missing earlier one. A record that a failed
    job removed after its input had changed would then leave the old results in place.
    """
    return [path for dataset in SETTINGS.datasets for path in JOBS.records(dataset)]


def partial_report(wildcards):
    """The marker of pages made of partial results, if it exists."""
    return [paths.PARTIAL_REPORT] if Path(paths.PARTIAL_REPORT).is_file() else []


# Params: no wider than what the rule uses, since a change of them repeats it.


def dataset_of(wildcards):
    return SETTINGS.datasets[wildcards.dataset]


def channel_of(wildcards):
    return dataset_of(wildcards).channels[wildcards.channel]


def method_of(wildcards):
    return METHODS[wildcards.method]


def values(settings, **options):
    """A settings object as plain values; None stays None."""
    return settings and settings.model_dump(mode="json", **options)


def of_dataset(*keys):
    """A value of the dataset's config, by its keys."""
    return lambda w: _value(dataset_of(w), keys)


def of_channel(*keys):
    """A value of the channel's config, by its keys."""
    return lambda w: _value(channel_of(w), keys)


def _value(section, keys):
    for key in keys:
        section = getattr(section, key)
    return values(section) if hasattr(section, "model_dump") else section


def restoring(wildcards):
    """The settings of a method that decide how it restores."""
    return _restoring(wildcards.method)


@lru_cache(maxsize=None)
def _restoring(method):
    return values(METHODS[method], exclude={"training"})


@lru_cache(maxsize=None)
def kernels(method):
    """What a method restores (`target_kernels`), the same in all datasets."""
    return target_kernels(SETTINGS, method)


def chain_settings(wildcards):
    """The settings of a method after those of its sources, if none of them may use a GPU."""
    if JOBS.chain_may_use_gpu(wildcards.method):
        return []
    return chain_settings_on_gpu(wildcards)


def chain_settings_on_gpu(wildcards):
    """The settings of a method after those of its sources."""
    return [_restoring(name) for name in JOBS.chain(wildcards.method)]


def reading(wildcards):
    """The reading options of a dataset's files (`volumes.volume.Reading`)."""
    return vars(Reading.of(dataset_of(wildcards)))


def voxel_size_um(wildcards):
    """The voxel size of a dataset, if the config or a known header has it."""
    return JOBS.voxel_size_um(wildcards.dataset)


def first_volume(wildcards):
    """The volume whose voxel size a job reads, if it is not known yet."""
    return "" if voxel_size_um(wildcards) else JOBS.first_volume(wildcards.dataset)


def first_reading(wildcards):
    """The reading options of `first_volume`."""
    return {} if voxel_size_um(wildcards) else reading(wildcards)


def evaluated_channels(wildcards):
    """The optics of each channel."""
    channels = dataset_of(wildcards).channels.items()
    return {name: values(channel, exclude={"beads_um"}) for name, channel in channels}


def raw_indices(wildcards):
    return JOBS.raw_indices(wildcards.dataset)


def restored_indices(wildcards):
    return JOBS.restored_indices(wildcards.dataset)


def restored_index(wildcards):
    return JOBS.restored_indices(wildcards.dataset)[wildcards.channel]


def source_indices(wildcards):
    return JOBS.source_indices(wildcards.dataset, wildcards.method)


def source_index(wildcards):
    return source_indices(wildcards)[wildcards.channel]


def source_times(wildcards):
    return JOBS.source_times(wildcards.dataset, wildcards.method)


def bundles_seen(wildcards):
    """A fingerprint of the bundles from outside that the job uses."""
    channel, method = wildcards.get("channel"), wildcards.get("method")
    return JOBS.bundles_seen(wildcards.dataset, channel=channel, method=method)


def seen(files):
    """A fingerprint of the files or folders that an input function lists."""
    return lambda w: fingerprint(files(w) or [])


def volume_seen(wildcards):
    """A fingerprint of an input volume; empty for simulated ones, which change by rules."""
    simulated = dataset_of(wildcards).simulate is not None
    return "" if simulated else fingerprint(volume_path(wildcards))


def batch_seen(batch):
    """A fingerprint of each of a batch's volumes, unless rules make them."""
    made = batch.source or dataset_of(batch).simulate is not None
    return [] if made else [fingerprint(path) for path in batch_sources(batch).values()]


def batch_options(batch):
    """The options of a batch's volumes, as the rules `ingest` and `ingest_restored` have them."""
    dataset, key = dataset_of(batch), f"datasets.{batch.dataset}"
    if batch.source:
        return {"key": key, "channels": restored_indices(batch), "clip_at_zero": True}
    return {
        "key": key,
        "channels": raw_indices(batch),
        "voxel_size_um": dataset.voxel_size_um,
        "times": dataset.times,
        "no_data": dataset.no_data,
        "camera_offset": dataset.camera.offset,
        "camera_bits": dataset.camera.bits,
        "reading": reading(batch),
    }


def references_seen(wildcards):
    """A fingerprint of the references in the config."""
    simulated = dataset_of(wildcards).simulate is not None
    references = [] if simulated else JOBS.references(wildcards.dataset).values()
    return fingerprint(references)


def evaluated_seen(wildcards):
    """Fingerprints of all files from outside that an evaluation reads."""
    return [references_seen(wildcards), bundles_seen(wildcards)]


def page_settings(wildcards):
    """The part of the config that decides the results of one dataset."""
    return _page_settings(wildcards.dataset)


@lru_cache(maxsize=None)
def _page_settings(dataset):
    return decisive(SETTINGS, dataset)


def frame_lists(camera):
    """The files of a camera's dark and flat frames."""
    return {role: listed_files(getattr(camera, role)) for role in ("dark", "flat")}


def frame_files(camera):
    """The files of `frame_lists` in one list."""
    return [file for files in frame_lists(camera).values() for file in files]


# Of instruments.


def instrument_names():
    """The instruments in the config and in its folders."""
    names = [*SETTINGS.instruments, *INSTRUMENT_FILES]
    if not names:
        listed = ", ".join(map(str, FOLDERS))
        raise WorkflowError(f"No instrument was found; write <name>.yaml in {listed}")
    return list(dict.fromkeys(names))


def instrument_pages(wildcards):
    return [paths.instrument_page(name) for name in instrument_names()]


@lru_cache(maxsize=None)
def instrument_named(name):
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


def instrument_of(wildcards):
    return instrument_named(wildcards.instrument)


def beads_of(wildcards):
    """A dated bead stack, as the PSF of one channel of an instrument."""
    instrument = instrument_of(wildcards)
    stacks = instrument.objectives[wildcards.objective].beads
    stack = next(
        s
        for s in stacks
        if str(s.date) == wildcards.day and wildcards.dye in s.channels
    )
    return instrument.psf_of(stack, wildcards.dye)


def bead_path(wildcards):
    return expand_path(beads_of(wildcards).path)


def bead_files(wildcards):
    return [file for file in volume_files(bead_path(wildcards)) if os.path.exists(file)]


def frames_of(wildcards):
    """The section with a camera's dark and flat frames of a day."""
    instrument = instrument_of(wildcards)
    dated = {str(frames.date): frames for frames in instrument.frames}
    return dated.get(wildcards.day, instrument.camera)


def files_of_frames(wildcards):
    return frame_files(frames_of(wildcards))


def instrument_records(wildcards):
    """The records of an instrument: by channel and bead stack, and by day of the frames."""
    name, instrument = wildcards.instrument, instrument_of(wildcards)
    beads = [
        paths.instrument_beads(name, objective, stack.date, channel)
        for objective, value in instrument.objectives.items()
        for stack in value.beads
        for channel in stack.channels
    ]
    return beads + [paths.instrument_camera(name, day) for day in instrument.frame_days]


def instrument_file(wildcards):
    """The file that describes an instrument; None = the config."""
    name = wildcards.instrument
    return None if name in IN_CONFIG else str(INSTRUMENT_FILES[name])


# Resources. The profiles and `set-resources` may set others.

# Least work of a job per minute, in Mvoxel, or MB for ingest: at most half of the rate of two slow
# cores in `make demo` (tables/cost.csv). A slower restoration, with hundreds of iterations, is
# stopped at its time limit and resumes in its next attempt.
PER_MINUTE = {"ingest": 200, "restore": 5, "finish": 100, "evaluate": 30}

RESTORE_MINUTES = 60  # of the smallest part

# Below this size, several jobs at once are faster than several threads in one job.
SMALL_MVOXELS = 2


def least_minutes(stage, amount, least):
    """Minutes of a first attempt."""
    return least + int(amount / PER_MINUTE[stage])


def minutes_for(stage, amount, *, least):
    """Resource function: minutes for the amount of work, more with each attempt.

    A rule's `most_minutes` in the profile is the limit.
    """

    def minutes(wildcards, attempt, rulename):
        needed = attempt * least_minutes(stage, amount(wildcards), least)
        kind = rulename.partition(".")[0]  # of a batch: `ingest`
        given = workflow.resource_settings.overwrite_resources.get(kind, {})
        if "most_minutes" in given:
            return min(needed, given["most_minutes"].value)
        return needed

    return minutes


def threads_for(amount, *, most):
    """Threads of a job; one for a small amount of work, so that jobs run side by side."""
    return lambda wildcards: 1 if 0 < amount(wildcards) < SMALL_MVOXELS else most


def per_attempt(amount):
    """Resource function: an amount of memory or time, more with each attempt."""
    return lambda wildcards, attempt: amount * attempt


def volume_mb(wildcards):
    return JOBS.volume_mb(wildcards.dataset, wildcards.volume)


def batch_mb(batch):
    return sum(JOBS.volume_mb(batch.dataset, volume) for volume in batch.volumes)


def mvoxels(wildcards):
    return JOBS.total_mvoxels(wildcards.dataset)


def part_mvoxels(wildcards):
    return mvoxels(wildcards) / JOBS.parts(wildcards.dataset, wildcards.method)


BLOCK_MB = JOBS.block_mb()
BLOCK_JOB_MB = BLOCK_MB + 1500  # memory of a job that works block by block


def cluster_requests(dataset, method):
    """What the long jobs of a method request in their first attempt, for the preview."""
    chosen, jobs = METHODS[method], []
    for rule, needed in (("train", is_trained(chosen)), ("tune", is_tuned(chosen))):
        if needed:
            need = NEEDS[rule]
            jobs.append(
                {
                    "stage": rule,
                    "jobs": len(JOBS.channels(dataset)),
                    "minutes": need.minutes or DEFAULT.minutes,
                    "memory_mb": need.memory_mb or DEFAULT.memory_mb,
                    "threads": need.threads,
                    "gpu": rule == "train",
                }
            )
    parts = JOBS.parts(dataset, method)
    share = JOBS.total_mvoxels(dataset) / parts
    restore = {
        "stage": "restore",
        "jobs": parts,
        "minutes": least_minutes("restore", share, RESTORE_MINUTES),
        "memory_mb": BLOCK_JOB_MB,
        "threads": 4,
        "gpu": may_use_gpu(chosen),
    }
    return [*jobs, restore]


def tell_what_is_done():
    """Tell how many of the jobs need not run; `decon3d run` counts from there."""
    jobs = list(workflow.dag.jobs)
    done = len(jobs) - sum(map(workflow.dag.needrun, jobs))
    if done:
        logger.info(
            f"{done} of {len(jobs)} jobs are done by earlier runs.",
            extra={
                "event": "all_jobs",
                "stats": Counter(job.rule.name for job in jobs),
            },
        )


def run_command():
    """The command that runs the workflow for this config."""
    files = workflow.configfiles
    return (
        f"decon3d run {shlex.quote(os.path.relpath(files[-1]))}"
        if files
        else "snakemake"
    )


def pages_to_open():
    """The last message of a run: the page of the dataset, or the index of several."""
    first, *others = SETTINGS.datasets
    if others:
        return "Finished; open results/index.html"
    return f"Finished; open results/{first}/report.html (index: results/index.html)"


def gives_gpu(rule):
    """Whether the profile gives a rule's jobs a GPU."""
    given = workflow.resource_settings.overwrite_resources.get(rule, {})
    return bool({"gpu", "gres"} & set(given))


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
