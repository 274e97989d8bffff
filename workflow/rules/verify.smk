# `snakemake verify`: read all results; a line for each damaged file, exit status 1.


rule verify:
    log:
        "logs/verify.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        script=str(CLONE / "scripts" / "verify.py"),
        python=sys.executable,
    shell:
        "{params.python:q} {params.script:q} results 2>&1 | tee {log:q}"
