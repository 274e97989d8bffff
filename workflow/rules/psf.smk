# The point spread function of each channel, on the image's grid.


rule psf:
    input:
        voxel_size_source,
        lambda w: getattr(channel_of(w).psf, "path", [])
        and volume_files(expand_path(channel_of(w).psf.path)),
    output:
        psf=paths.psf("{dataset}", "{channel}"),
        record=str(Path(paths.psf("{dataset}", "{channel}")).with_suffix(".json")),
    log:
        "logs/{dataset}/psf/{channel}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        optics=lambda w: values(dataset_of(w).optics),
        channel=lambda w: values(channel_of(w), exclude={"index", "normalisation"}),
        voxel_size_um=lambda w: dataset_of(w).voxel_size_um,
        first_volume=lambda w: "" if dataset_of(w).voxel_size_um else first_volume(w),
        reading=lambda w: {} if dataset_of(w).voxel_size_um else reading_of(w),
        version=VERSIONS["psf"],
    script:
        "../../scripts/psf.py"
