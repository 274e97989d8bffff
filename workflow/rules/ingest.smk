# Any input volume → one OME-Zarr view, and what is measured in the views of each channel.


rule simulate:
    input:
        psfs=per_channel("results/{dataset}/psf/{channel}/psf.tif"),
    output:
        image="results/{dataset}/simulated/{volume}.ome.tif",
        truth="results/{dataset}/simulated/{volume}.truth.ome.tif",
    log:
        "logs/{dataset}/simulate/{volume}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        simulation=lambda w: values(dataset_of(w).simulate[w.volume]),
        channels=raw_indices,
        camera=of_dataset("camera"),
        seed=SETTINGS.seed,
        version=VERSIONS["simulate"],
    script:
        "../../scripts/simulate.py"


rule camera_maps:
    input:
        lambda w: frame_files(dataset_of(w).camera),
    output:
        "results/{dataset}/camera/maps.json",
        "results/{dataset}/camera/maps.npz",
    log:
        "logs/{dataset}/camera_maps.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        camera=lambda w: frame_lists(dataset_of(w).camera),
        bits=of_dataset("camera", "bits"),
        key=lambda w: f"datasets.{w.dataset}.camera",
        seen=seen(lambda w: frame_files(dataset_of(w).camera)),
        version=VERSIONS["camera_maps"],
    script:
        "../../scripts/camera_maps.py"


rule ingest:
    input:
        raw_files,
        camera=camera_maps,
    output:
        "results/{dataset}/ingest/{volume}.json",
    log:
        "logs/{dataset}/ingest/{volume}.log",
    group:
        "ingest"
    conda:
        "../../envs/cpu.yaml"
    resources:
        runtime=minutes_for("ingest", volume_mb, least=5),
    params:
        source=volume_path,
        seen=volume_seen,
        channels=raw_indices,
        voxel_size_um=of_dataset("voxel_size_um"),
        times=of_dataset("times"),
        no_data=of_dataset("no_data"),
        camera_offset=of_dataset("camera", "offset"),
        camera_bits=of_dataset("camera", "bits"),
        reading=reading,
        raw_channels=None,
        clip_at_zero=False,
        version=VERSIONS["ingest"],
    script:
        "../../scripts/ingest.py"


# Volumes restored by a method, as the input of another with this `source`.
use rule ingest as ingest_restored with:
    input:
        "results/{dataset}/finished/{method}.json",
        raw="results/{dataset}/ingest/{volume}.json",
    output:
        "results/{dataset}/after/{method}/ingest/{volume}.json",
    log:
        "logs/{dataset}/ingest/{volume}.after.{method}.log",
    group:
        "ingest_restored"
    params:
        source=lambda w: paths.restored(w.dataset, w.volume, w.method),
        channels=restored_indices,
        voxel_size_um=None,
        times=None,
        no_data=None,
        camera_offset=None,
        camera_bits=None,
        reading={},
        raw_channels=raw_indices,
        clip_at_zero=True,
        version=VERSIONS["ingest"],


# Small volumes, many in one process. These rules have no wildcards, so Snakemake prefers them.
for batch in JOBS.batches():

    rule:
        name:
            batch.rule
        input:
            for_batch(batch, batch_files),
            camera=for_batch(batch, lambda b: [] if b.source else camera_maps(b)),
        output:
            batch.records,
        log:
            batch.log,
        group:
            batch.rule.partition(".")[0]
        conda:
            "../../envs/cpu.yaml"
        resources:
            runtime=minutes_for("ingest", for_batch(batch, batch_mb), least=5),
            in_turn=1,  # as the profile `slurm` gives it to `ingest`
        params:
            sources=for_batch(batch, batch_sources),
            seen=for_batch(batch, batch_seen),
            options=for_batch(batch, batch_options),
            raw_channels=for_batch(batch, lambda b: b.source and raw_indices(b)),
            version=VERSIONS["ingest"],
        script:
            "../../scripts/ingest_batch.py"


# Of a channel's raw volumes: statistics and normalisation, and the noise (the unit of consistency).
rule measure:
    input:
        volumes=per_volume("results/{dataset}/ingest/{volume}.json"),
    output:
        statistics="results/{dataset}/statistics/{channel}.json",
        noise="results/{dataset}/noise/{channel}.json",
    log:
        "logs/{dataset}/measure/{channel}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        index=of_channel("index"),
        normalisation=of_channel("normalisation"),
        times=of_dataset("times"),
        camera=of_dataset("camera"),
        seed=SETTINGS.seed,
        version=[VERSIONS["statistics"], VERSIONS["noise"]],
    script:
        "../../scripts/measure.py"


# Whether the raw volumes contradict the PSF's width. Only the page needs the result: if this job
# fails, restorations continue.
rule psf_fit:
    input:
        volumes=per_volume("results/{dataset}/ingest/{volume}.json"),
        psf="results/{dataset}/psf/{channel}/psf.tif",
        noise="results/{dataset}/noise/{channel}.json",
    output:
        "results/{dataset}/psf_fit/{channel}.json",
    log:
        "logs/{dataset}/psf_fit/{channel}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        index=of_channel("index"),
        beads_um=of_channel("beads_um"),
        times=of_dataset("times"),
        camera=of_dataset("camera"),
        seed=SETTINGS.seed,
        version=VERSIONS["psf_fit"],
    script:
        "../../scripts/psf_fit.py"


# Statistics and normalisation of a channel of restored volumes, for a method with this `source`.
rule statistics_restored:
    input:
        per_volume("results/{dataset}/after/{method}/ingest/{volume}.json"),
    output:
        "results/{dataset}/after/{method}/statistics/{channel}.json",
    log:
        "logs/{dataset}/statistics/{channel}.after.{method}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        index=restored_index,
        camera_offset=of_dataset("camera", "offset"),
        normalisation=of_channel("normalisation"),
        version=VERSIONS["statistics"],
    script:
        "../../scripts/statistics_restored.py"
