# The parameters of the classical methods, tuned on the validation phantoms, on the data, or (as an
# oracle) on the test truth. The search ends when the optimum is inside the searched range, or at a
# limit of the iterations.


rule tune:
    input:
        unpack(tuning_inputs),
        unpack(camera_record),
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
        method=lambda w: values(method_of(w), exclude={"device"}),
        camera=lambda w: values(dataset_of(w).camera),
        index=lambda w: channel_of(w).index,
        times=lambda w: dataset_of(w).times,
        seed=SETTINGS.seed,
        version=VERSIONS["tune"],
    script:
        "../../scripts/tune.py"
