# Networks, one bundle per channel and method. A profile may give these jobs a GPU.


rule train:
    input:
        unpack(unless_camera_is_known(noise="results/{dataset}/noise/{channel}.json")),
        train=pairs("train"),
        val=pairs("val"),
        psf="results/{dataset}/psf/{channel}/psf.tif",
        start=start_bundle,
    output:
        model="results/{dataset}/models/{channel}/{method}/model.keras",
        info="results/{dataset}/models/{channel}/{method}/model.json",
        history="results/{dataset}/models/{channel}/{method}/history.csv",
    log:
        "logs/{dataset}/train/{channel}.{method}.log",
    benchmark:
        "benchmarks/{dataset}/train.{channel}.{method}.tsv"
    wildcard_constraints:
        method=methods_where(is_trained),
    priority: 10  # the longest jobs start first
    conda:
        "../../envs/gpu.yaml"
    threads: 8
    resources:
        mem_mb=per_attempt(8000),
        runtime=per_attempt(720),
    params:
        method=lambda w: values(method_of(w)),
        camera=of_dataset("camera"),
        seed=SETTINGS.seed,
        seen=seen(start_bundle),
        version=VERSIONS["train"],
    script:
        "../../scripts/train.py"
