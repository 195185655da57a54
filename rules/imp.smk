use rule training as imp_round with:
    """Prune the network of the round before, rewind what is left to iteration k, train it."""
    input:
        data="results/data/{dataset}.safetensors",
        rewind="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        weights=needs("imp_round", "weights"),
        mask=needs("imp_round", "mask"),
    output:
        mask="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/mask.safetensors",
        weights="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/weights.safetensors",
        metrics="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/metrics.csv",
        run="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/run.json",
    log:
        "logs/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}.log",
    priority: 90
    params:
        spec=spec("imp_round"),
        code=code("imp_round"),
    message:
        "Round {wildcards.round} of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"
