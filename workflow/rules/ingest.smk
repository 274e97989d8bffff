# Any input volume → one OME-Zarr view and its statistics.


rule simulate:
    input:
        psfs=per_channel(paths.psf),
    output:
        image=paths.simulated("{dataset}", "{volume}"),
        truth=paths.simulated_truth("{dataset}", "{volume}"),
    log:
        "logs/{dataset}/simulate/{volume}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        simulation=lambda w: values(dataset_of(w).simulate[w.volume]),
        channels=channel_indices,
        camera=lambda w: values(dataset_of(w).camera),
        seed=SETTINGS.seed,
        version=VERSIONS["simulate"],
    script:
        "../../scripts/simulate.py"


# The offset, gain and noise of a camera's pixels, from its dark and flat frames.
rule camera_maps:
    input:
        lambda w: camera_frames(dataset_of(w).camera),
    output:
        paths.camera_maps("{dataset}"),
        str(Path(paths.camera_maps("{dataset}")).with_suffix(".npz")),
    log:
        "logs/{dataset}/camera_maps.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        camera=lambda w: frame_lists(dataset_of(w).camera),
        bits=lambda w: dataset_of(w).camera.bits,
        key=lambda w: f"datasets.{w.dataset}.camera",
        seen=lambda w: fingerprint(camera_frames(dataset_of(w).camera)),
        version=VERSIONS["camera_maps"],
    script:
        "../../scripts/camera_maps.py"


rule ingest:
    input:
        lambda w: volume_files(VOLUMES[w.dataset][w.volume].path),
        camera=lambda w: (
            [paths.camera_maps(w.dataset)] if dataset_of(w).camera.dark else []
        ),
    output:
        paths.ingested("{dataset}", "{volume}"),
    log:
        "logs/{dataset}/ingest/{volume}.log",
    group:
        "ingest"
    conda:
        "../../envs/cpu.yaml"
    resources:
        runtime=minutes_for(
            "ingest", lambda w: volume_size(w.dataset, w.volume)[0], least=5
        ),
    params:
        source=lambda w: VOLUMES[w.dataset][w.volume].path,
        seen=volume_seen,
        channels=channel_indices,
        voxel_size_um=lambda w: dataset_of(w).voxel_size_um,
        times=lambda w: dataset_of(w).times,
        no_data=lambda w: dataset_of(w).no_data,
        camera_offset=lambda w: dataset_of(w).camera.offset,
        camera_bits=lambda w: dataset_of(w).camera.bits,
        reading=reading_of,
        raw_channels=None,
        clip_at_zero=False,
        version=VERSIONS["ingest"],
    script:
        "../../scripts/ingest.py"


# Volumes restored by a method, as the input of another with this `source`.
use rule ingest as ingest_restored with:
    input:
        paths.finished("{dataset}", "{method}"),
        raw=paths.ingested("{dataset}", "{volume}"),
    output:
        paths.ingested("{dataset}", "{volume}", "{method}"),
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
        raw_channels=channel_indices,
        clip_at_zero=True,
        version=VERSIONS["ingest"],


rule channel_statistics:
    input:
        ingested_volumes,
    output:
        paths.statistics("{dataset}", "{channel}"),
    log:
        "logs/{dataset}/statistics/{channel}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        index=lambda w: channel_of(w).index,
        camera_offset=lambda w: dataset_of(w).camera.offset,
        normalisation=lambda w: channel_of(w).normalisation
        and values(channel_of(w).normalisation),
        version=VERSIONS["statistics"],
    script:
        "../../scripts/channel_statistics.py"


use rule channel_statistics as channel_statistics_restored with:
    input:
        lambda w: [paths.ingested(w.dataset, v, w.method) for v in VOLUMES[w.dataset]],
    output:
        paths.statistics("{dataset}", "{channel}", "{method}"),
    log:
        "logs/{dataset}/statistics/{channel}.after.{method}.log",
    params:
        index=lambda w: restored_indices(w)[w.channel],
        camera_offset=lambda w: dataset_of(w).camera.offset,
        normalisation=lambda w: channel_of(w).normalisation
        and values(channel_of(w).normalisation),
        version=VERSIONS["statistics"],
