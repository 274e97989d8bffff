# The workflow is in workflow/Snakefile; this file lets `snakemake` find it from a clone.


include: "workflow/Snakefile"


workflow.default_target = "all"  # an included file sets none
