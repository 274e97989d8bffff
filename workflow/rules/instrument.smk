# `snakemake instrument`: a page of each microscope in the config or its folders.


wildcard_constraints:
    instrument="|".join([*SETTINGS.instruments, *INSTRUMENT_FILES]) or NO_NAME,
    objective=NAME.strip("^$"),
    day=r"\d{4}-\d\d-\d\d|undated",
    dye=NAME.strip("^$"),


rule instrument:
    input:
        lambda w: [paths.instrument_page(name) for name in instrument_names()],
    localrule: True


rule instrument_beads:
    input:
        lambda w: [file for file in volume_files(bead_path(w)) if os.path.exists(file)],
    output:
        paths.instrument_beads("{instrument}", "{objective}", "{day}", "{dye}"),
    log:
        "logs/instruments/{instrument}/{objective}.{day}.{dye}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        optics=lambda w: values(
            instrument_of(w.instrument).objectives[w.objective].optics
        ),
        channel=lambda w: values(instrument_of(w.instrument).channels[w.dye]),
        beads=lambda w: values(beads_of(w)),
        key=lambda w: f"instruments.{w.instrument}.objectives.{w.objective}.beads",
        seen=lambda w: fingerprint(bead_path(w)),
        version=[VERSIONS["instrument"], VERSIONS["psf"]],
    script:
        "../../scripts/instrument_beads.py"


rule instrument_camera:
    input:
        lambda w: camera_frames(frames_of_day(w)),
    output:
        paths.instrument_camera("{instrument}", "{day}"),
    log:
        "logs/instruments/{instrument}/camera.{day}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        camera=lambda w: frame_lists(frames_of_day(w)),
        bits=lambda w: instrument_of(w.instrument).camera.bits,
        key=lambda w: f"instruments.{w.instrument}.frames ({w.day})",
        seen=lambda w: fingerprint(camera_frames(frames_of_day(w))),
        version=[VERSIONS["instrument"], VERSIONS["camera_maps"]],
    script:
        "../../scripts/instrument_camera.py"


rule instrument_page:
    input:
        CAPTIONS,
        lambda w: instrument_records(w.instrument),
    output:
        paths.instrument_page("{instrument}"),
    log:
        "logs/instruments/{instrument}/page.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        instrument=lambda w: values(instrument_of(w.instrument), exclude_unset=True),
        file=lambda w: instrument_file(w.instrument),
        today=str(datetime.date.today()),  # for the ages of measurements
        version=[VERSIONS["instrument"], VERSIONS["report"]],
    script:
        "../../scripts/instrument_page.py"
