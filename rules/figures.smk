rule collect:
    """One table of all runs of a network, for each stage."""
    input:
        metrics=needs("collect", "metrics"),
    output:
        table="results/tables/{stage}_{dataset}_{model}.csv",
    log:
        "logs/tables/{stage}_{dataset}_{model}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("collect"),
        code=code("collect"),
    shell:
        "python -m earlyphase collect --spec {params.spec:q} --code {params.code:q} "
        "--out {output.table:q} > {log:q} 2>&1"


rule figure:
    """Draw one figure of one network, and write the numbers it shows."""
    input:
        tables=needs("figure", "tables"),
    output:
        svg=report(
            "results/figures/{figure}_{dataset}_{model}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "data": "{dataset}", "network": "{model}"},
        ),
        png="results/figures/{figure}_{dataset}_{model}.png",
        table="results/figures/{figure}_{dataset}_{model}.csv",
    log:
        "logs/figures/{figure}_{dataset}_{model}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("figure"),
        code=code("figure"),
    shell:
        "python -m earlyphase figure --spec {params.spec:q} --code {params.code:q} "
        "--tables {input.tables:q} "
        "--out-svg {output.svg:q} --out-png {output.png:q} --out-table {output.table:q} > {log:q} 2>&1"


rule claims:
    """Judge the paper's claims on every network of the study."""
    input:
        tables=needs("claims", "tables"),
    output:
        table=report(
            "results/claims.csv", caption="../report/claims.rst", category="Claims"
        ),
    log:
        "logs/claims.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("claims"),
        code=code("claims"),
    shell:
        "python -m earlyphase claims --spec {params.spec:q} --code {params.code:q} "
        "--tables {input.tables:q} --out {output.table:q} > {log:q} 2>&1"
