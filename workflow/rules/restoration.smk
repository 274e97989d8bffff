# prepare → plan → N parts → finish: the same for networks and classical methods. Jobs that may use
# a GPU have their own rules, which a profile can send elsewhere. All have a priority, since the
# evaluation waits for this chain.


rule restore_prepare:
    input:
        unpack(restorer),
        unpack(unless_camera_is_known(noise="results/{dataset}/noise/{channel}.json")),
        statistics=source_statistics,
    output:
        state="results/{dataset}/prepared/{channel}/{method}.json",
        arrays="results/{dataset}/prepared/{channel}/{method}.npz",
    log:
        "logs/{dataset}/prepare/{channel}.{method}.log",
    wildcard_constraints:
        method=methods_where(lambda method: not needs_sample(method)),
    priority: 1
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        method=restoring,
        camera=of_dataset("camera"),
        index=source_index,
        times=source_times,
        seed=SETTINGS.seed,
        seen=bundles_seen,
        version=VERSIONS["prepare"],
    script:
        "../../scripts/restore_prepare.py"


# Decisions on a sample of the data take time: a stopping rule, calibrated attention.
use rule restore_prepare as restore_prepare_on_sample with:
    input:
        unpack(restorer),
        unpack(unless_camera_is_known(noise="results/{dataset}/noise/{channel}.json")),
        sampled=source_volumes,
        statistics=source_statistics,
    wildcard_constraints:
        method=methods_where(needs_sample),
    localrule: False
    threads: threads_for(mvoxels, most=4)


# The number of parts is that of a finished restoration, and memory is no parameter: neither repeats
# what is finished.
rule restore_plan:
    input:
        unpack(bundles_and_psfs),
        volumes=source_volumes,
        states=per_channel("results/{dataset}/prepared/{channel}/{method}.json"),
    output:
        "results/{dataset}/plans/{method}.json",
    log:
        "logs/{dataset}/plan/{method}.log",
    priority: 1
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        block_mb=BLOCK_MB,
    params:
        channels=source_indices,
        times=source_times,
        restoration=values(
            SETTINGS.restoration, include={"engine", "precision", "output_dtype"}
        ),
        parts=lambda w: JOBS.parts(w.dataset, w.method),
        gpu=gives_gpu("restore_part_gpu"),
        seen=bundles_seen,
        version=VERSIONS["plan"],
    script:
        "../../scripts/restore_plan.py"


rule restore_part_cpu:
    input:
        plan="results/{dataset}/plans/{method}.json",
        states=per_channel("results/{dataset}/prepared/{channel}/{method}.json"),
    output:
        "results/{dataset}/parts/{method}/{part}.json",
    log:
        "logs/{dataset}/restore/{method}.{part}.log",
    benchmark:
        "benchmarks/{dataset}/restore.{method}.{part}.tsv"
    wildcard_constraints:
        method=methods_where(lambda method: not may_use_gpu(method)),
    priority: 1
    conda:
        "../../envs/cpu.yaml"
    threads: threads_for(part_mvoxels, most=4)
    resources:
        mem_mb=per_attempt(BLOCK_JOB_MB),
        runtime=minutes_for("restore", part_mvoxels, least=RESTORE_MINUTES),
    params:
        version=VERSIONS["restore"],
    script:
        "../../scripts/restore_part.py"


use rule restore_part_cpu as restore_part_gpu with:
    wildcard_constraints:
        method=methods_where(may_use_gpu),
    conda:
        "../../envs/gpu.yaml"
    threads: 4


rule restore_finish:
    input:
        plan="results/{dataset}/plans/{method}.json",
        parts=parts,
        volumes=source_volumes,
    output:
        "results/{dataset}/finished/{method}.json",
    log:
        "logs/{dataset}/finish/{method}.log",
    priority: 1
    conda:
        "../../envs/cpu.yaml"
    threads: threads_for(mvoxels, most=2)
    resources:
        mem_mb=per_attempt(BLOCK_JOB_MB),  # each thread of the pyramid holds a block without its halo
        runtime=minutes_for("finish", mvoxels, least=30),
    params:
        settings=lambda w: values(method_of(w)),
        ome_tiff=SETTINGS.restoration.ome_tiff,
        seed=SETTINGS.seed,
        version=VERSIONS["finish"],
    script:
        "../../scripts/restore_finish.py"


rule restore_phantoms_cpu:
    input:
        unpack(restorer),
        unpack(unless_camera_is_known(noise="results/{dataset}/noise/{channel}.json")),
        test=pairs("test"),
    output:
        marker="results/{dataset}/restored_phantoms/{channel}/{method}.zarr/zarr.json",
    log:
        "logs/{dataset}/restore_phantoms/{channel}.{method}.log",
    wildcard_constraints:
        method=methods_where(lambda method: not may_use_gpu(method)),
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    params:
        method=restoring,
        camera=of_dataset("camera"),
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
