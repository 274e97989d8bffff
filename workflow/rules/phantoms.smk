# Pairs with truth, for training and tuning: phantoms, simulated through the channel's PSF, or a
# dataset's own measured pairs.


rule phantoms:
    input:
        own_objects,
        psf=paths.psf("{dataset}", "{channel}"),
        measured=measured_light,
    output:
        marker=paths.store_marker(paths.phantoms("{dataset}", "{channel}", "{split}")),
    log:
        "logs/{dataset}/phantoms/{channel}.{split}.log",
    benchmark:
        "benchmarks/{dataset}/phantoms.{channel}.{split}.tsv"
    wildcard_constraints:
        dataset=datasets_with_pairs(False),
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    params:
        phantoms=lambda w: values(
            PHANTOMS.of_split(w.split), exclude={"train", "val", "test"} - {w.split}
        ),
        optics=lambda w: values(dataset_of(w).optics),
        channel=lambda w: values(
            channel_of(w), exclude={"index", "normalisation", "psf", "beads_um"}
        ),
        camera=lambda w: values(dataset_of(w).camera),
        seen=lambda w: fingerprint(own_volumes(w)),
        seed=SETTINGS.seed,
        version=[VERSIONS["phantoms"], VERSIONS["noise"]],
    script:
        "../../scripts/phantoms.py"


# Similarity of the test phantoms and the data: histogram, spectrum, noise.
rule likeness:
    input:
        volumes=ingested_volumes,
        noise=paths.noise("{dataset}", "{channel}"),
        phantoms=paths.store_marker(paths.phantoms("{dataset}", "{channel}", "test")),
    output:
        paths.likeness("{dataset}", "{channel}"),
    log:
        "logs/{dataset}/likeness/{channel}.log",
    wildcard_constraints:
        dataset=datasets_with_pairs(False),
    conda:
        "../../envs/cpu.yaml"
    params:
        index=lambda w: channel_of(w).index,
        times=lambda w: dataset_of(w).times,
        camera=lambda w: values(dataset_of(w).camera),
        seed=SETTINGS.seed,
        version=VERSIONS["likeness"],
    script:
        "../../scripts/likeness.py"


rule measured_pairs:
    input:
        pair_files,
        psf=paths.psf("{dataset}", "{channel}"),
    output:
        **{
            split: paths.store_marker(paths.phantoms("{dataset}", "{channel}", split))
            for split in SPLITS
        },
        record=paths.measured_pairs("{dataset}", "{channel}"),
    log:
        "logs/{dataset}/pairs/{channel}.log",
    benchmark:
        "benchmarks/{dataset}/pairs.{channel}.tsv"
    wildcard_constraints:
        dataset=datasets_with_pairs(True),
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
    params:
        sources=lambda w: [vars(pair) for pair in MEASURED[w.dataset]],
        pairs=lambda w: values(dataset_of(w).pairs),
        index=lambda w: channel_of(w).index,
        channels=lambda w: len(dataset_of(w).channels),
        voxel_size_um=lambda w: dataset_of(w).voxel_size_um,
        no_data=lambda w: dataset_of(w).no_data,
        camera_offset=lambda w: dataset_of(w).camera.offset,
        seen=lambda w: fingerprint(pair_volumes(w)),
        reading=reading_of,
        version=VERSIONS["pairs"],
    script:
        "../../scripts/measured_pairs.py"


# Pairs restored by a method, for others with this `source`.
rule pairs_after_cpu:
    input:
        unpack(method_inputs),
        unpack(camera_record),
        pairs=lambda w: pairs_store(w, w.split),
    output:
        marker=paths.store_marker(
            paths.phantoms("{dataset}", "{channel}", "{split}", "{method}")
        ),
    log:
        "logs/{dataset}/pairs_after/{channel}.{method}.{split}.log",
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
        "../../scripts/pairs_after.py"


use rule pairs_after_cpu as pairs_after_gpu with:
    wildcard_constraints:
        method=methods_where(may_use_gpu),
    conda:
        "../../envs/gpu.yaml"
