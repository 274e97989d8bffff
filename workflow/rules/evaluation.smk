# Metrics, one file of records per method, and the tables made from them.


# The test split compared with its truth, and the consistency map of changes planted into it.
rule evaluate_phantoms:
    input:
        psfs=of_channels(paths.psf),
        tests=lambda w: [
            paths.store_marker(paths.phantoms(w.dataset, c, "test"))
            for c in dataset_of(w).channels
        ],
        restored=lambda w: [
            paths.store_marker(paths.restored_phantoms(w.dataset, c, w.method))
            for c in dataset_of(w).channels
            if w.method in METHODS
        ],
        noises=lambda w: (
            []
            if camera_known(w)
            else [paths.noise(w.dataset, c) for c in dataset_of(w).channels]
        ),
    output:
        paths.evaluation("{dataset}", "{method}", "phantoms"),
    log:
        "logs/{dataset}/evaluate/{method}.phantoms.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        channels=lambda w: list(dataset_of(w).channels),
        camera=lambda w: values(dataset_of(w).camera),
        kernels=lambda w: target_kernels(SETTINGS, w.method),
        seed=SETTINGS.seed,
        version=[VERSIONS["evaluate"], VERSIONS["consistency"]],
    script:
        "../../scripts/evaluate_phantoms.py"


# The volumes themselves, compared with their references, and without truth.
rule evaluate_volumes:
    input:
        volumes=ingested_volumes,
        references=lambda w: [
            file
            for v in VOLUMES[w.dataset].values()
            if v.reference
            for file in volume_files(v.reference)
        ],
        psfs=lambda w: [paths.psf(w.dataset, c) for c in dataset_of(w).channels],
        finished=lambda w: (
            [paths.finished(w.dataset, w.method)] if w.method in METHODS else []
        ),
    output:
        paths.evaluation("{dataset}", "{method}", "volumes"),
    log:
        "logs/{dataset}/evaluate/{method}.volumes.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        # Windows of some volumes, and all of those that have a reference.
        runtime=minutes_for(
            "compare", lambda w: dataset_mvoxels(w.dataset, referenced=True), least=60
        ),
    params:
        channels=channel_indices,
        times=lambda w: dataset_of(w).times,
        references=lambda w: {
            name: v.reference for name, v in VOLUMES[w.dataset].items() if v.reference
        },
        seen=references_seen,
        reading=reading_of,
        seed=SETTINGS.seed,
        version=VERSIONS["evaluate"],
    script:
        "../../scripts/evaluate_volumes.py"


# Measures that run the method: held-out photons, probes, a wrong PSF, dark noise.
rule evaluate_sample_cpu:
    input:
        unpack(chain_inputs),
        sampled=ingested_volumes,
        psf=lambda w: paths.psf(w.dataset, w.channel),
        noise=lambda w: paths.noise(w.dataset, w.channel),
        statistics=lambda w: paths.statistics(w.dataset, w.channel),
    output:
        paths.evaluation("{dataset}", "{method}", "sample.{channel}"),
    log:
        "logs/{dataset}/evaluate/{method}.sample.{channel}.log",
    wildcard_constraints:
        method=names_where(lambda name: not chain_may_use_gpu(name), "input", *METHODS),
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    params:
        methods=lambda w: [
            values(METHODS[name], exclude={"training"}) for name in chain_of(w.method)
        ],
        optics=lambda w: values(dataset_of(w).optics),
        channel=lambda w: values(channel_of(w), exclude={"beads_um"}),
        camera=lambda w: values(dataset_of(w).camera),
        phantoms=values(PROBE, include={"photons", "background_photons"}),
        times=lambda w: dataset_of(w).times,
        seen=bundles_seen,
        seed=SETTINGS.seed,
        version=[VERSIONS["evaluate"], VERSIONS["consistency"]],
    script:
        "../../scripts/evaluate_sample.py"


use rule evaluate_sample_cpu as evaluate_sample_gpu with:
    wildcard_constraints:
        method=names_where(chain_may_use_gpu, *METHODS),
    conda:
        "../../envs/gpu.yaml"


# The noise of the raw counts, the unit of consistency.
rule noise:
    input:
        ingested_volumes,
    output:
        paths.noise("{dataset}", "{channel}"),
    log:
        "logs/{dataset}/noise/{channel}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        index=lambda w: channel_of(w).index,
        times=lambda w: dataset_of(w).times,
        camera=lambda w: values(dataset_of(w).camera),
        seed=SETTINGS.seed,
        version=VERSIONS["noise"],
    script:
        "../../scripts/measure_noise.py"


# Whether the raw data contradict the PSF's width.
rule psf_fit:
    input:
        volumes=ingested_volumes,
        psf=lambda w: paths.psf(w.dataset, w.channel),
        noise=lambda w: paths.noise(w.dataset, w.channel),
    output:
        paths.psf_fit("{dataset}", "{channel}"),
    log:
        "logs/{dataset}/psf_fit/{channel}.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    params:
        index=lambda w: channel_of(w).index,
        beads_um=lambda w: channel_of(w).beads_um,
        times=lambda w: dataset_of(w).times,
        camera=lambda w: values(dataset_of(w).camera),
        seed=SETTINGS.seed,
        version=VERSIONS["psf_fit"],
    script:
        "../../scripts/check_psf.py"


rule consistency:
    input:
        paths.finished("{dataset}", "{method}"),
        volumes=ingested_volumes,
        psfs=of_channels(paths.psf),
        noises=of_channels(paths.noise),
        statistics=of_channels(paths.statistics),
    output:
        found=paths.consistency_record("{dataset}", "{method}"),
        records=paths.evaluation("{dataset}", "{method}", "consistency"),
    log:
        "logs/{dataset}/consistency/{method}.log",
    benchmark:
        "benchmarks/{dataset}/consistency.{method}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 2500 * attempt,
        runtime=minutes_for(
            "consistency", lambda w: dataset_mvoxels(w.dataset), least=30
        ),
    params:
        channels=channel_indices,
        times=lambda w: dataset_of(w).times,
        memory_gb=RESTORATION.memory_gb,
        seed=SETTINGS.seed,
        version=VERSIONS["consistency"],
    script:
        "../../scripts/consistency.py"
