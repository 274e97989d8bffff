# Pairs with truth, for training and tuning: phantoms, simulated through the channel's PSF, or a
# dataset's own measured pairs.


rule phantoms:
    input:
        own_files,
        psf="results/{dataset}/psf/{channel}/psf.tif",
        measured=measured_light,
    output:
        marker="results/{dataset}/training/{channel}/{split}.zarr/zarr.json",
    log:
        "logs/{dataset}/phantoms/{channel}.{split}.log",
    benchmark:
        "benchmarks/{dataset}/phantoms.{channel}.{split}.tsv"
    wildcard_constraints:
        dataset=names_where(lambda name: not INPUTS.pairs[name], INPUTS.pairs),
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    params:
        phantoms=lambda w: values(
            PHANTOMS.of_split(w.split), exclude={"train", "val", "test"} - {w.split}
        ),
        optics=of_dataset("optics"),
        channel=lambda w: values(
            channel_of(w), exclude={"index", "normalisation", "psf", "beads_um"}
        ),
        camera=of_dataset("camera"),
        seen=seen(own_volumes),
        seed=SETTINGS.seed,
        version=[VERSIONS["phantoms"], VERSIONS["noise"]],
    script:
        "../../scripts/phantoms.py"


# Similarity of the test phantoms and the data: histogram, spectrum, noise.
rule likeness:
    input:
        volumes=per_volume("results/{dataset}/ingest/{volume}.json"),
        noise="results/{dataset}/noise/{channel}.json",
        phantoms="results/{dataset}/training/{channel}/test.zarr/zarr.json",
    output:
        "results/{dataset}/likeness/{channel}.json",
    log:
        "logs/{dataset}/likeness/{channel}.log",
    wildcard_constraints:
        dataset=names_where(lambda name: not INPUTS.pairs[name], INPUTS.pairs),
    conda:
        "../../envs/cpu.yaml"
    params:
        index=of_channel("index"),
        times=of_dataset("times"),
        camera=of_dataset("camera"),
        seed=SETTINGS.seed,
        version=VERSIONS["likeness"],
    script:
        "../../scripts/likeness.py"


rule measured_pairs:
    input:
        pair_files,
        psf="results/{dataset}/psf/{channel}/psf.tif",
    output:
        train="results/{dataset}/training/{channel}/train.zarr/zarr.json",
        val="results/{dataset}/training/{channel}/val.zarr/zarr.json",
        test="results/{dataset}/training/{channel}/test.zarr/zarr.json",
        record="results/{dataset}/training/{channel}/pairs.json",
    log:
        "logs/{dataset}/pairs/{channel}.log",
    benchmark:
        "benchmarks/{dataset}/pairs.{channel}.tsv"
    wildcard_constraints:
        dataset=names_where(INPUTS.pairs.get, INPUTS.pairs),
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=per_attempt(8000),
    params:
        sources=lambda w: [vars(pair) for pair in INPUTS.pairs[w.dataset]],
        pairs=of_dataset("pairs"),
        index=of_channel("index"),
        channels=lambda w: len(JOBS.channels(w.dataset)),
        voxel_size_um=of_dataset("voxel_size_um"),
        no_data=of_dataset("no_data"),
        camera_offset=of_dataset("camera", "offset"),
        seen=seen(pair_volumes),
        reading=reading,
        version=VERSIONS["pairs"],
    script:
        "../../scripts/measured_pairs.py"


# Pairs restored by a method, for others with this `source`.
rule pairs_after_cpu:
    input:
        unpack(restorer),
        unpack(unless_camera_is_known(noise="results/{dataset}/noise/{channel}.json")),
        pairs=pairs("{split}"),
    output:
        marker="results/{dataset}/after/{method}/training/{channel}/{split}.zarr/zarr.json",
    log:
        "logs/{dataset}/pairs_after/{channel}.{method}.{split}.log",
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
        "../../scripts/pairs_after.py"


use rule pairs_after_cpu as pairs_after_gpu with:
    wildcard_constraints:
        method=methods_where(may_use_gpu),
    conda:
        "../../envs/gpu.yaml"
