# The classical methods' parameters, searched on the validation phantoms until the optimum is
# interior: a baseline at its best, or an error.


rule tune:
    input:
        val=paths.store_marker(paths.phantoms("{dataset}", "{channel}", "val")),
        psf=paths.psf("{dataset}", "{channel}"),
    output:
        paths.tuning("{dataset}", "{channel}", "{method}"),
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
        mem_mb=lambda w, attempt: 4000 * attempt,
    params:
        method=lambda w: values(method_of(w)),
        camera_offset=lambda w: dataset_of(w).camera.offset,
        version=VERSIONS["tune"],
    script:
        "../../scripts/tune.py"
