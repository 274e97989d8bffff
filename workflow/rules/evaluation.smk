# Metrics, one file of records per method, and the tables made of them.


rule evaluate_phantoms:
    input:
        tests=lambda w: [
            paths.store_marker(paths.phantoms(w.dataset, c, "test"))
            for c in dataset_of(w).channels
        ],
        restored=lambda w: [
            paths.store_marker(paths.restored_phantoms(w.dataset, c, w.method))
            for c in dataset_of(w).channels
            if w.method in METHODS
        ],
    output:
        paths.evaluation("{dataset}", "{method}", "phantoms"),
    log:
        "logs/{dataset}/evaluate/{method}.phantoms.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        channels=lambda w: list(dataset_of(w).channels),
        version=VERSIONS["evaluate"],
    script:
        "../../scripts/evaluate_phantoms.py"


rule evaluate_volumes:
    input:
        volumes=ingested_volumes,
        references=lambda w: [
            volume_file(v.reference)
            for v in VOLUMES[w.dataset].values()
            if v.reference
        ],
        finished=lambda w: (
            [paths.finished(w.dataset, w.method)] if w.method in METHODS else []
        ),
    output:
        paths.evaluation("{dataset}", "{method}", "volumes"),
    log:
        "logs/{dataset}/evaluate/{method}.volumes.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        channels=channel_indices,
        times=lambda w: dataset_of(w).times,
        references=lambda w: {
            name: v.reference for name, v in VOLUMES[w.dataset].items() if v.reference
        },
        version=VERSIONS["evaluate"],
    script:
        "../../scripts/evaluate_volumes.py"


# The noise of the raw counts, measured once: what consistency is measured in.
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


rule consistency:
    input:
        paths.finished("{dataset}", "{method}"),
        volumes=ingested_volumes,
        psfs=lambda w: [paths.psf(w.dataset, c) for c in dataset_of(w).channels],
        noises=lambda w: [paths.noise(w.dataset, c) for c in dataset_of(w).channels],
        statistics=lambda w: [
            paths.statistics(w.dataset, c) for c in dataset_of(w).channels
        ],
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
        runtime=lambda w, attempt: 240 * attempt,
    params:
        channels=channel_indices,
        times=lambda w: dataset_of(w).times,
        memory_gb=RESTORATION.memory_gb,
        seed=SETTINGS.seed,
        version=VERSIONS["consistency"],
    script:
        "../../scripts/consistency.py"
