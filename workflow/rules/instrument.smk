# `snakemake instrument`: a page of each microscope in the config or its folders.


wildcard_constraints:
    instrument="|".join([*SETTINGS.instruments, *INSTRUMENT_FILES]) or NO_NAME,
    objective=NAME.strip("^$"),
    day=r"\d{4}-\d\d-\d\d|undated",
    dye=NAME.strip("^$"),


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
