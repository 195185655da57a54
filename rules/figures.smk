rule collect_dense:
    """One table of the evaluations of all dense runs of a network."""
    input:
        metrics_of("dense"),
    output:
        table="results/tables/dense_{dataset}_{model}.csv",
    log:
        "logs/tables/dense_{dataset}_{model}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=collected("dense"),
        code=code("collect"),
    shell:
        "python -m earlyphase collect --spec {params.spec:q} --code {params.code:q} "
        "--out {output.table:q} > {log:q} 2>&1"


rule collect_imp:
    """One table of the evaluations of all rounds of a network."""
    input:
        metrics_of("imp"),
    output:
        table="results/tables/imp_{dataset}_{model}.csv",
    log:
        "logs/tables/imp_{dataset}_{model}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=collected("imp"),
        code=code("collect"),
    shell:
        "python -m earlyphase collect --spec {params.spec:q} --code {params.code:q} "
        "--out {output.table:q} > {log:q} 2>&1"


rule figure:
    """Draw one figure of one network, and write the numbers it shows."""
    input:
        dense="results/tables/dense_{dataset}_{model}.csv",
        imp="results/tables/imp_{dataset}_{model}.csv",
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
        code=code("figure", "figures"),
    shell:
        "python -m earlyphase figure --spec {params.spec:q} --code {params.code:q} "
        "--tables dense={input.dense:q} imp={input.imp:q} "
        "--out-svg {output.svg:q} --out-png {output.png:q} --out-table {output.table:q} > {log:q} 2>&1"


rule claims:
    """Judge the paper's claims on every network of the study."""
    input:
        dense=all_runs("results/tables/dense_{dataset}_{model}.csv"),
        imp=all_runs("results/tables/imp_{dataset}_{model}.csv"),
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
        "--dense {input.dense:q} --imp {input.imp:q} --out {output.table:q} > {log:q} 2>&1"
