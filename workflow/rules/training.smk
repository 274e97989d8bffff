# Networks, one bundle per channel and method. A profile may give these jobs a GPU.


rule train:
    input:
        unpack(camera_record),
        train=lambda w: pairs_store(w, "train"),
        val=lambda w: pairs_store(w, "val"),
        psf=paths.psf("{dataset}", "{channel}"),
        start=start_bundle,
    output:
        model=f"{paths.model('{dataset}', '{channel}', '{method}')}/model.keras",
        info=f"{paths.model('{dataset}', '{channel}', '{method}')}/model.json",
        history=f"{paths.model('{dataset}', '{channel}', '{method}')}/history.csv",
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
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 720 * attempt,
    params:
        method=lambda w: values(method_of(w)),
        camera=lambda w: values(dataset_of(w).camera),
        seed=SETTINGS.seed,
        seen=lambda w: fingerprint(start_bundle(w)),
        version=VERSIONS["train"],
    script:
        "../../scripts/train.py"
