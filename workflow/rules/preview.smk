# `snakemake preview`: a crop of one volume of each dataset, restored by every ready method, before
# any long job.


rule preview:
    input:
        expand("results/{dataset}/preview.html", dataset=SETTINGS.datasets),
    localrule: True
    message:
        "Finished; open {input}"


rule preview_dataset:
    input:
        volume=lambda w: paths.ingested(w.dataset, INPUTS.previewed[w.dataset].name),
        psfs=per_channel("results/{dataset}/psf/{channel}/psf.tif"),
    output:
        "results/{dataset}/preview.html",
        "results/{dataset}/preview.json",
    log:
        "logs/{dataset}/preview.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    resources:
        mem_mb=per_attempt(6000),
    params:
        settings=lambda w: {
            **page_settings(w),
            "restoration": values(SETTINGS.restoration),
        },
        requests=lambda w: {m: cluster_requests(w.dataset, m) for m in METHODS},
        command=run_command(),
        seen=bundles_seen,
        version=VERSIONS["preview"],
    script:
        "../../scripts/preview.py"
