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
