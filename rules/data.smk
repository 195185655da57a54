rule data:
    """Prepare a data set: images, labels and normalisation in one file of tensors."""
    output:
        data="results/data/{dataset}.safetensors",
    log:
        "logs/data/{dataset}.log",
    conda:
        "../envs/earlyphase.yaml"
    resources:
        mem="4GB",
    params:
        spec=spec("data"),
        code=code("data"),
    message:
        "Prepare {wildcards.dataset}"
    shell:
        "python -m earlyphase data --spec {params.spec:q} --code {params.code:q} --out {output.data:q} "
        "> {log:q} 2>&1"
