use rule job as inference with:
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
    priority: 10
    threads: ALL_CORES
    resources:
        mem_mb=megabytes,
        runtime=minutes,
    params:
        spec=spec("inference"),
        code=code("inference"),
    message:
        "Inference of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"
