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
        kernels=lambda w: target_kernels(SETTINGS, w.method),
        version=VERSIONS["evaluate"],
    script:
        "../../scripts/evaluate_phantoms.py"


# The volumes themselves: against the references that the config names, and without truth.
rule evaluate_volumes:
    input:
        volumes=ingested_volumes,
        references=lambda w: [
            volume_file(v.reference)
            for v in VOLUMES[w.dataset].values()
            if v.reference
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
    params:
        channels=channel_indices,
        times=lambda w: dataset_of(w).times,
        references=lambda w: {
            name: v.reference for name, v in VOLUMES[w.dataset].items() if v.reference
        },
        seed=SETTINGS.seed,
        version=VERSIONS["evaluate"],
    script:
        "../../scripts/evaluate_volumes.py"


# What takes the method itself: held-out photons, probes, a PSF other than assumed.
rule evaluate_sample_cpu:
    input:
        unpack(chain_inputs),
        sampled=ingested_volumes,
        psf=lambda w: paths.psf(w.dataset, w.channel),
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
        channel=lambda w: values(channel_of(w)),
        camera=lambda w: values(dataset_of(w).camera),
        photons=list(PROBE.photons),
        background_photons=PROBE.background_photons,
        times=lambda w: dataset_of(w).times,
        seed=SETTINGS.seed,
        version=VERSIONS["evaluate"],
    script:
        "../../scripts/evaluate_sample.py"


use rule evaluate_sample_cpu as evaluate_sample_gpu with:
    wildcard_constraints:
        method=names_where(chain_may_use_gpu, *METHODS),
    conda:
        "../../envs/gpu.yaml"
