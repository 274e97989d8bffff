# prepare → plan → N parts → finish: the same for networks and classical methods. Jobs that may use
# a GPU have their own rules, which a profile can send elsewhere.


rule restore_prepare:
    input:
        unpack(method_inputs),
        unpack(camera_record),
        statistics=lambda w: paths.statistics(w.dataset, w.channel, method_of(w).source),
    output:
        state=paths.prepared("{dataset}", "{channel}", "{method}"),
        arrays=str(
            Path(paths.prepared("{dataset}", "{channel}", "{method}")).with_suffix(
                ".npz"
            )
        ),
    log:
        "logs/{dataset}/prepare/{channel}.{method}.log",
    wildcard_constraints:
        method=methods_where(lambda m: not needs_sample(m)),
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        method=lambda w: values(method_of(w), exclude={"training"}),
        camera=lambda w: values(dataset_of(w).camera),
        index=lambda w: source_indices(w)[w.channel],
        times=source_times,
        seed=SETTINGS.seed,
        seen=bundles_seen,
        version=VERSIONS["prepare"],
    script:
        "../../scripts/restore_prepare.py"


# Decisions on a sample of the data take time: a stopping rule, calibrated attention.
use rule restore_prepare as restore_prepare_on_sample with:
    input:
        unpack(method_inputs),
        unpack(camera_record),
        sampled=source_volumes,
        statistics=lambda w: paths.statistics(w.dataset, w.channel, method_of(w).source),
    wildcard_constraints:
        method=methods_where(needs_sample),
    localrule: False
    threads: 4


rule restore_plan:
    input:
        unpack(trained_for),
        volumes=source_volumes,
        states=per_channel(paths.prepared),
    output:
        paths.plan("{dataset}", "{method}"),
    log:
        "logs/{dataset}/plan/{method}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        channels=source_indices,
        times=source_times,
        restoration=values(RESTORATION, exclude={"ome_tiff"}),
        gpu=gives_gpu("restore_part_gpu"),
        seen=bundles_seen,
        version=VERSIONS["plan"],
    script:
        "../../scripts/restore_plan.py"


rule restore_part_cpu:
    input:
        plan=paths.plan("{dataset}", "{method}"),
        states=per_channel(paths.prepared),
    output:
        paths.part("{dataset}", "{method}", "{part}"),
    log:
        "logs/{dataset}/restore/{method}.{part}.log",
    benchmark:
        "benchmarks/{dataset}/restore.{method}.{part}.tsv"
    wildcard_constraints:
        method=methods_where(lambda m: not may_use_gpu(m)),
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    resources:
        mem_mb=block_mb,
        runtime=minutes_for(
            "restore",
            lambda w: dataset_mvoxels(w.dataset) / RESTORATION.parts,
            least=60,
        ),
    params:
        version=VERSIONS["restore"],
    script:
        "../../scripts/restore_part.py"


use rule restore_part_cpu as restore_part_gpu with:
    wildcard_constraints:
        method=methods_where(may_use_gpu),
    conda:
        "../../envs/gpu.yaml"


rule restore_finish:
    input:
        plan=paths.plan("{dataset}", "{method}"),
        parts=part_markers,
        volumes=source_volumes,
    output:
        paths.finished("{dataset}", "{method}"),
    log:
        "logs/{dataset}/finish/{method}.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=block_mb,  # each thread of the pyramid holds a block without its halo
        runtime=minutes_for("finish", lambda w: dataset_mvoxels(w.dataset), least=30),
    params:
        settings=lambda w: values(method_of(w)),
        ome_tiff=RESTORATION.ome_tiff,
        seed=SETTINGS.seed,
        version=VERSIONS["finish"],
    script:
        "../../scripts/restore_finish.py"


rule restore_phantoms_cpu:
    input:
        unpack(method_inputs),
        unpack(camera_record),
        test=lambda w: pairs_store(w, "test"),
    output:
        marker=paths.store_marker(
            paths.restored_phantoms("{dataset}", "{channel}", "{method}")
        ),
    log:
        "logs/{dataset}/restore_phantoms/{channel}.{method}.log",
    wildcard_constraints:
        method=methods_where(lambda m: not may_use_gpu(m)),
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    params:
        method=lambda w: values(method_of(w), exclude={"training"}),
        camera=lambda w: values(dataset_of(w).camera),
        seen=bundles_seen,
        seed=SETTINGS.seed,
        version=VERSIONS["restore"],
    script:
        "../../scripts/restore_phantoms.py"


use rule restore_phantoms_cpu as restore_phantoms_gpu with:
    wildcard_constraints:
        method=methods_where(may_use_gpu),
    conda:
        "../../envs/gpu.yaml"
