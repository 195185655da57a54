use rule job as data with:
    """Prepare a data set: images, labels and normalisation in one file of tensors."""
    output:
        data="results/data/{dataset}.safetensors",
    log:
        "logs/data/{dataset}.log",
    resources:
        mem="4GB",
    params:
        spec=spec("data"),
        code=code("data"),
    message:
        "Prepare {wildcards.dataset}"
