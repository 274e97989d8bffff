# The evaluation of each method: one job, one file of records for each kind of measure.
#
# phantoms     the test split compared with its truth; changes planted into its consistency map
# volumes      the volumes compared with their references, and measured without truth
# sample       measures that run the method: held-out photons, probes, a wrong PSF, dark noise
# consistency  maps of the deviations of the restored volumes from the raw data


rule evaluate:
    input:
        unpack(restorers_without_gpu),
        finished="results/{dataset}/finished/{method}.json",
        volumes=per_volume("results/{dataset}/ingest/{volume}.json"),
        references=reference_files,
        psfs=per_channel("results/{dataset}/psf/{channel}/psf.tif"),
        noises=per_channel("results/{dataset}/noise/{channel}.json"),
        statistics=per_channel("results/{dataset}/statistics/{channel}.json"),
        tests=if_pairs(
            per_channel("results/{dataset}/training/{channel}/test.zarr/zarr.json")
        ),
        restored=if_pairs(
            per_channel(
                "results/{dataset}/restored_phantoms/{channel}/{method}.zarr/zarr.json"
            )
        ),
    output:
        maps="results/{dataset}/consistency/{method}.json",
        consistency="results/{dataset}/evaluation/{method}/consistency.json",
        phantoms="results/{dataset}/evaluation/{method}/phantoms.json",
        volumes="results/{dataset}/evaluation/{method}/volumes.json",
        sample="results/{dataset}/evaluation/{method}/sample.json",
        stability="results/{dataset}/evaluation/{method}/stability.npz",
    log:
        "logs/{dataset}/evaluate/{method}.log",
    wildcard_constraints:
        method=names_where(lambda name: not JOBS.chain_may_use_gpu(name), METHODS),
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    resources:
        block_mb=BLOCK_MB,
        mem_mb=per_attempt(max(4000, BLOCK_JOB_MB)),
        runtime=minutes_for("evaluate", mvoxels, least=120),
    params:
        methods=chain_settings,
        indices=raw_indices,
        channels=evaluated_channels,
        optics=of_dataset("optics"),
        camera=of_dataset("camera"),
        times=of_dataset("times"),
        reading=reading,
        references=lambda w: JOBS.references(w.dataset),
        seen=evaluated_seen,
        doses=values(JOBS.probe, include={"photons", "background_photons"}),
        kernels=lambda w: kernels(w.method),
        seed=SETTINGS.seed,
        version=[VERSIONS["evaluate"], VERSIONS["consistency"]],
    script:
        "../../scripts/evaluate.py"


# The same for a method that may use a GPU; what runs it is a job of its own.
use rule evaluate as evaluate_network with:
    output:
        maps="results/{dataset}/consistency/{method}.json",
        consistency="results/{dataset}/evaluation/{method}/consistency.json",
        phantoms="results/{dataset}/evaluation/{method}/phantoms.json",
        volumes="results/{dataset}/evaluation/{method}/volumes.json",
    wildcard_constraints:
        method=names_where(JOBS.chain_may_use_gpu, METHODS),


use rule evaluate as evaluate_sample with:
    input:
        unpack(restorers),
        volumes=per_volume("results/{dataset}/ingest/{volume}.json"),
        psfs=per_channel("results/{dataset}/psf/{channel}/psf.tif"),
        noises=per_channel("results/{dataset}/noise/{channel}.json"),
        statistics=per_channel("results/{dataset}/statistics/{channel}.json"),
    output:
        sample="results/{dataset}/evaluation/{method}/sample.json",
        stability="results/{dataset}/evaluation/{method}/stability.npz",
    log:
        "logs/{dataset}/evaluate/{method}.sample.log",
    wildcard_constraints:
        method=names_where(JOBS.chain_may_use_gpu, METHODS),
    conda:
        "../../envs/gpu.yaml"
    resources:
        mem_mb=per_attempt(4000),
    params:
        methods=chain_settings_on_gpu,
        indices=raw_indices,
        channels=evaluated_channels,
        optics=of_dataset("optics"),
        camera=of_dataset("camera"),
        times=of_dataset("times"),
        seen=bundles_seen,
        doses=values(JOBS.probe, include={"photons", "background_photons"}),
        seed=SETTINGS.seed,
        version=[VERSIONS["evaluate"], VERSIONS["consistency"]],


# The blurred images themselves.
use rule evaluate as evaluate_input with:
    input:
        volumes=per_volume("results/{dataset}/ingest/{volume}.json"),
        references=reference_files,
        psfs=per_channel("results/{dataset}/psf/{channel}/psf.tif"),
        noises=per_channel("results/{dataset}/noise/{channel}.json"),
        statistics=per_channel("results/{dataset}/statistics/{channel}.json"),
        tests=if_pairs(
            per_channel("results/{dataset}/training/{channel}/test.zarr/zarr.json")
        ),
    output:
        phantoms="results/{dataset}/evaluation/input/phantoms.json",
        volumes="results/{dataset}/evaluation/input/volumes.json",
        sample="results/{dataset}/evaluation/input/sample.json",
    log:
        "logs/{dataset}/evaluate/input.log",
    threads: 1
    params:
        methods=[],
        indices=raw_indices,
        channels=evaluated_channels,
        optics=of_dataset("optics"),
        camera=of_dataset("camera"),
        times=of_dataset("times"),
        reading=reading,
        references=lambda w: JOBS.references(w.dataset),
        seen=references_seen,
        doses=values(JOBS.probe, include={"photons", "background_photons"}),
        kernels=kernels("input"),
        seed=SETTINGS.seed,
        version=VERSIONS["evaluate"],
