# The point spread function of each channel, on the image's grid.


rule psf:
    input:
        psf_files,
    output:
        psf="results/{dataset}/psf/{channel}/psf.tif",
        record="results/{dataset}/psf/{channel}/psf.json",
    log:
        "logs/{dataset}/psf/{channel}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        optics=of_dataset("optics"),
        channel=lambda w: values(
            channel_of(w), exclude={"index", "normalisation", "beads_um"}
        ),
        voxel_size_um=voxel_size_um,
        first_volume=first_volume,
        reading=first_reading,
        seen=seen(psf_path),
        version=VERSIONS["psf"],
    script:
        "../../scripts/psf.py"
