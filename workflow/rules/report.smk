# Tables, figures and pages.
#
# After an error they are made from the existing results (`onerror:`) and dated 1970. Their inputs
# are newer, and one has changed (Snakemake considers an unchanged one older), so the next run makes
# them again.


rule report:
    input:
        CAPTIONS,
        partial_report,
        records,
    output:
        page=report(
            "results/{dataset}/report.html",
            caption="../report/page.rst",
            category="Reports",
            labels={"dataset": "{dataset}"},
        ),
        summary=report(
            "results/{dataset}/tables/summary.html",
            caption="../report/summary.rst",
            category="Tables",
            labels={"dataset": "{dataset}", "table": "summary"},
        ),
        tables=expand(
            "results/{{dataset}}/tables/{table}.csv",
            table=[
                "metrics",
                "summary",
                "cost",
                "recommendation",
                "headline",
                "conditions",
            ]
            + ["wrong_psf", "papers", "settings", "guide"],
        ),
        figures="results/{dataset}/figures/index.json",
        card="results/{dataset}/report.json",
    log:
        "logs/{dataset}/report.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    params:
        settings=page_settings,
        version=VERSIONS["report"],
    script:
        "../../scripts/report.py"


# On demand: `snakemake … results/worm/volumes/w0042.html`.
rule volume_page:
    input:
        CAPTIONS,
        partial_report,
        metrics="results/{dataset}/tables/metrics.csv",
        restored=per_method("results/{dataset}/finished/{method}.json"),
    output:
        report(
            "results/{dataset}/volumes/{volume}.html",
            caption="../report/volume.rst",
            category="Volumes",
            labels={"dataset": "{dataset}", "volume": "{volume}"},
        ),
    log:
        "logs/{dataset}/volumes/{volume}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        settings=page_settings,
        version=VERSIONS["report"],
    script:
        "../../scripts/volume_page.py"


rule index:
    input:
        CAPTIONS,
        partial_report,
        expand("results/{dataset}/report.json", dataset=SETTINGS.datasets),
    output:
        "results/index.html",
    log:
        "logs/index.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        datasets=list(SETTINGS.datasets),
        version=VERSIONS["report"],
    script:
        "../../scripts/index.py"
