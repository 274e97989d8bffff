# The point spread function of each channel, on the image's grid.


rule psf:
    input:
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
        channel=lambda w: values(
            channel_of(w), exclude={"index", "normalisation", "beads_um"}
        ),
        voxel_size_um=voxel_size,
        first_volume=lambda w: "" if voxel_size(w) else first_volume(w),
        reading=lambda w: {} if voxel_size(w) else reading_of(w),
        seen=psf_seen,
        version=VERSIONS["psf"],
    script:
        "../../scripts/psf.py"
