use rule job as report with:
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
    params:
        spec=spec("report"),
        code=code("report"),
    message:
        "Write the report"
