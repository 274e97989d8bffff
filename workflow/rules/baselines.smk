# The parameters of the classical methods, tuned on the validation phantoms, on the data, or (as an
# oracle) on the test truth. The search ends when the optimum is inside the searched range, or at a
# limit of the iterations.


rule tune:
    input:
        unpack(tuning_data),
        unpack(unless_camera_is_known(noise="results/{dataset}/noise/{channel}.json")),
        psf="results/{dataset}/psf/{channel}/psf.tif",
    output:
        "results/{dataset}/tuning/{channel}/{method}.json",
    log:
        "logs/{dataset}/tune/{channel}.{method}.log",
    benchmark:
        "benchmarks/{dataset}/tune.{channel}.{method}.tsv"
    wildcard_constraints:
        method=methods_where(is_tuned),
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    resources:
        mem_mb=per_attempt(4000),
    params:
        method=lambda w: values(method_of(w), exclude={"device"}),
        camera=of_dataset("camera"),
        index=of_channel("index"),
        times=of_dataset("times"),
        seed=SETTINGS.seed,
        version=VERSIONS["tune"],
    script:
        "../../scripts/tune.py"
