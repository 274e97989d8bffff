# `snakemake preview`: a crop of one volume of each dataset, restored by every ready method, before
# any long job.


rule preview:
    input:
        expand(paths.preview("{dataset}"), dataset=SETTINGS.datasets),
    localrule: True
    message:
        "Finished; open {input}"


rule preview_dataset:
    input:
        volume=lambda w: paths.ingested(w.dataset, PREVIEWED[w.dataset].name),
        psfs=per_channel(paths.psf),
    output:
        paths.preview("{dataset}"),
    log:
        "logs/{dataset}/preview.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    resources:
        mem_mb=lambda w, attempt: 6000 * attempt,
    params:
        settings=values(SETTINGS),
        seen=bundles_seen,
        version=VERSIONS["preview"],
    script:
        "../../scripts/preview.py"
