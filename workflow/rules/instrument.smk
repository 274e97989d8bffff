# `snakemake instrument`: a page of each microscope in the config or its folders.

import datetime


wildcard_constraints:
    instrument="|".join([*SETTINGS.instruments, *INSTRUMENT_FILES]) or NO_NAME,
    objective=NAME.strip("^$"),
    day=r"\d{4}-\d\d-\d\d|undated",
    dye=NAME.strip("^$"),


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


rule instrument:
    input:
        instrument_pages,
    localrule: True


rule instrument_beads:
    input:
        bead_files,
    output:
        "results/instruments/{instrument}/beads/{objective}/{day}.{dye}.json",
    log:
        "logs/instruments/{instrument}/{objective}.{day}.{dye}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        optics=lambda w: values(instrument_of(w).objectives[w.objective].optics),
        channel=lambda w: values(instrument_of(w).channels[w.dye]),
        beads=lambda w: values(beads_of(w)),
        key=lambda w: f"instruments.{w.instrument}.objectives.{w.objective}.beads",
        seen=seen(bead_path),
        version=[VERSIONS["instrument"], VERSIONS["psf"]],
    script:
        "../../scripts/instrument_beads.py"


rule instrument_camera:
    input:
        files_of_frames,
    output:
        "results/instruments/{instrument}/camera/{day}.json",
    log:
        "logs/instruments/{instrument}/camera.{day}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        camera=lambda w: frame_lists(frames_of(w)),
        bits=lambda w: instrument_of(w).camera.bits,
        key=lambda w: f"instruments.{w.instrument}.frames ({w.day})",
        seen=seen(files_of_frames),
        version=[VERSIONS["instrument"], VERSIONS["camera_maps"]],
    script:
        "../../scripts/instrument_camera.py"


rule instrument_page:
    input:
        CAPTIONS,
        instrument_records,
    output:
        "results/instruments/{instrument}.html",
    log:
        "logs/instruments/{instrument}/page.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        instrument=lambda w: values(instrument_of(w), exclude_unset=True),
        file=instrument_file,
        today=str(datetime.date.today()),  # for the ages of measurements
        version=[VERSIONS["instrument"], VERSIONS["report"]],
    script:
        "../../scripts/instrument_page.py"
