# Simulated pairs through the channel's PSF: what networks learn from and baselines are tuned on.


rule phantoms:
    input:
        own_objects,
        psf=paths.psf("{dataset}", "{channel}"),
    output:
        marker=paths.store_marker(paths.phantoms("{dataset}", "{channel}", "{split}")),
    log:
        "logs/{dataset}/phantoms/{channel}.{split}.log",
    benchmark:
        "benchmarks/{dataset}/phantoms.{channel}.{split}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    params:
        phantoms=lambda w: values(
            PHANTOMS.of_split(w.split), exclude={"train", "val", "test"} - {w.split}
        ),
        optics=lambda w: values(dataset_of(w).optics),
        channel=lambda w: values(
            channel_of(w), exclude={"index", "normalisation", "psf"}
        ),
        camera=lambda w: values(dataset_of(w).camera),
        seed=SETTINGS.seed,
        version=VERSIONS["phantoms"],
    script:
        "../../scripts/phantoms.py"
