# decon3d: from a microscope's volumes to restored volumes and a report.
#
#   config → psf → phantoms → train / tune
#              volumes → ingest → statistics
#                  → restore_prepare → restore_plan → restore_part × N → restore_finish
#                  → evaluate → tables → figures → report
#
# This file is the map; rules lie by stage in workflow/rules, what they do in scripts/decon3d.

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

# A config named on the command line or by a profile stands alone.
if not workflow.config_settings.configfiles:
    if not Path("config/config.yaml").is_file():
        sys.exit(
            f"There is no config/config.yaml in the working directory {Path.cwd()}. Name a config "
            f"with --configfile, or change to the clone ({workflow.basedir})."
        )

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


# Only with `--sdm apptainer`; envs/decon3d.def says how it is built.
if image := container_image():

    container: image


include: "workflow/rules/ingest.smk"
include: "workflow/rules/psf.smk"
include: "workflow/rules/phantoms.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/restoration.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/instrument.smk"
include: "workflow/rules/preview.smk"
include: "workflow/rules/verify.smk"


rule all:
    default_target: True
    input:
        paths.INDEX,
        # So that a record that was deleted, or lost by a failed job, is made again.
        all_records,
    localrule: True


onstart:
    # Snakemake's own handler takes a lock that its main thread may hold (9.27: a deadlock).
    handle_sigterm_in_a_thread()


onerror:
    report_what_is_there()
