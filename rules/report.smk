rule report:
    """One page with all that was found; it opens without a network."""
    input:
        figures=needs("report", "figures"),
        records=needs("report", "records"),
        claims="results/claims.csv",
        contrasts="results/contrasts.csv",
    output:
        page="results/report.html",
    log:
        "logs/report.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("report"),
        code=code("report"),
    message:
        "Write the report"
    shell:
        "python -m earlyphase report --spec {params.spec:q} --code {params.code:q} "
        "--claims {input.claims:q} --contrasts {input.contrasts:q} "
        "--out {output.page:q} > {log:q} 2>&1"
