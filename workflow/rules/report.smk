# Tables, figures and pages.
#
# After an error they are made from the existing results (`onerror:`) and dated 1970. Their inputs
# are newer, and one has changed (Snakemake considers an unchanged one older), so the next run makes
# them again.

OTHER_TABLES = (
    "recommendation",
    "headline",
    "conditions",
    "wrong_psf",
    "papers",
    "settings",
    "guide",
)


rule tables:
    input:
        evaluations,
        CAPTIONS,
        partial_report,
        restored=lambda w: [paths.finished(w.dataset, m) for m in METHODS],
    output:
        metrics=paths.table("{dataset}", "metrics.csv"),
        summary=paths.table("{dataset}", "summary.csv"),
        html=report(
            paths.table("{dataset}", "summary.html"),
            caption="../report/summary.rst",
            category="Tables",
            labels={"dataset": "{dataset}", "table": "summary"},
        ),
        others=[paths.table("{dataset}", f"{name}.csv") for name in OTHER_TABLES],
        cost=paths.table("{dataset}", "cost.csv"),
    log:
        "logs/{dataset}/tables.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        settings=values(SETTINGS),
        version=VERSIONS["report"],
    script:
        "../../scripts/tables.py"


rule figures:
    input:
        ingested_volumes,
        CAPTIONS,
        partial_report,
        metrics=paths.table("{dataset}", "metrics.csv"),
        restored=lambda w: [paths.finished(w.dataset, m) for m in METHODS],
        psfs=per_channel(paths.psf),
        likeness=likeness_records,
    output:
        marker=f"{paths.figures('{dataset}')}/index.json",
    log:
        "logs/{dataset}/figures.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    params:
        settings=values(SETTINGS),
        version=VERSIONS["report"],
    script:
        "../../scripts/figures.py"


rule report:
    input:
        CAPTIONS,
        partial_report,
        # A deleted table is made again.
        tables=[
            paths.table("{dataset}", f"{name}.csv")
            for name in ("summary", "cost", *OTHER_TABLES)
        ],
        summary=paths.table("{dataset}", "summary.html"),
        psf_fits=of_channels(paths.psf_fit),
        figures=f"{paths.figures('{dataset}')}/index.json",
        likeness=likeness_records,
    output:
        page=report(
            paths.report("{dataset}"),
            caption="../report/page.rst",
            category="Reports",
            labels={"dataset": "{dataset}"},
        ),
        card=paths.card("{dataset}"),
    log:
        "logs/{dataset}/report.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        settings=values(SETTINGS),
        version=VERSIONS["report"],
    script:
        "../../scripts/report.py"


# On demand: `snakemake … results/worm/volumes/w0042.html`.
rule volume_page:
    input:
        CAPTIONS,
        partial_report,
        metrics=paths.table("{dataset}", "metrics.csv"),
        restored=lambda w: [paths.finished(w.dataset, m) for m in METHODS],
    output:
        report(
            paths.volume_page("{dataset}", "{volume}"),
            caption="../report/volume.rst",
            category="Volumes",
            labels={"dataset": "{dataset}", "volume": "{volume}"},
        ),
    log:
        "logs/{dataset}/volumes/{volume}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        settings=values(SETTINGS),
        version=VERSIONS["report"],
    script:
        "../../scripts/volume_page.py"


rule index:
    input:
        CAPTIONS,
        partial_report,
        expand(paths.report("{dataset}"), dataset=SETTINGS.datasets),
    output:
        paths.INDEX,
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
