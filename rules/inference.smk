rule inference:
    """Time tickets and the dense network under several runtimes, on one thread, and count their bytes.

    The job asks for all cores, so that no other runs beside it, and uses one. It keeps no progress: times that
    were taken before and after a kill would not be of one machine in one state.
    """
    input:
        data="results/data/{dataset}.safetensors",
        dense=needs("inference", "dense"),
        masks=needs("inference", "masks"),
        weights=needs("inference", "weights"),
    output:
        table="results/inference/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}.csv",
    log:
        "logs/inference/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}.log",
    conda:
        "../envs/earlyphase.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=megabytes,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        spec=spec("inference"),
        code=code("inference"),
    message:
        "Inference of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase inference --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--dense {input.dense:q} --masks {input.masks:q} --weights {input.weights:q} "
        "--out {output.table:q} > {log:q} 2>&1"
