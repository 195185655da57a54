from snakemake.utils import min_version

min_version("9.12")


configfile: f"{workflow.basedir}/config.yaml"


include: "rules/common.smk"
include: "rules/job.smk"
include: "rules/data.smk"
include: "rules/pretraining.smk"
include: "rules/dense.smk"
include: "rules/imp.smk"
include: "rules/stability.smk"
include: "rules/inference.smk"
include: "rules/perturbed.smk"
include: "rules/deficits.smk"
include: "rules/telemetry.smk"
include: "rules/figures.smk"
include: "rules/report.smk"


localrules:
    figures,
    data,  # downloads: compute nodes often have no way out
    pairs,
    collect,
    claims,
    figure,
    report,


rule figures:
    """Everything: the tables, the figures, the claims and the report of the configured study."""
    default_target: True
    input:
        configured_figures,
        "results/claims.csv",
        "results/report.html",
