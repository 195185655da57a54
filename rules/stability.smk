use rule training as stability with:
    """Train a second copy from iteration k under other noise of SGD; measure the line between the two.

    Round 0 is the dense network, any other the ticket of that round.
    """
    input:
        data="results/data/{dataset}.safetensors",
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        first=needs("stability", "first"),
        mask=needs("stability", "mask"),
        trajectory=needs("stability", "trajectory"),
    output:
        pair="results/stability/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/pair.csv",
        line="results/stability/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/line.csv",
        run="results/stability/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/run.json",
    log:
        "logs/stability/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}.log",
    wildcard_constraints:
        round=r"\d+",
    priority: 30
    params:
        spec=spec("stability"),
        code=code("stability"),
    message:
        "Second copy of {wildcards.model} on {wildcards.dataset}, round {wildcards.round}, from k = {wildcards.k}, seed {wildcards.seed}"


use rule training as consecutive with:
    """Measure the line between the trained tickets of a round and of the round before; round 0 is dense."""
    input:
        data="results/data/{dataset}.safetensors",
        first=needs("consecutive", "first"),
        second="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/weights.safetensors",
    output:
        row="results/consecutive/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}.csv",
    log:
        "logs/consecutive/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}.log",
    priority: 30
    params:
        spec=spec("consecutive"),
        code=code("consecutive"),
    message:
        "Line to round {wildcards.round} of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"


use rule training as butterfly with:
    """Change the dense network a little at iteration k, train it on under the same noise, measure the line."""
    input:
        data="results/data/{dataset}.safetensors",
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        initial="results/dense/{dataset}/{model}/seed{seed}/{task}/it0.safetensors",
        final=needs("butterfly", "final"),
        trajectory="results/dense/{dataset}/{model}/seed{seed}/{task}/trajectory.safetensors",
    output:
        row="results/butterfly/{dataset}/{model}/seed{seed}/{task}/it{k}/{perturbation}.csv",
        run="results/butterfly/{dataset}/{model}/seed{seed}/{task}/it{k}/{perturbation}.json",
    log:
        "logs/butterfly/{dataset}/{model}/seed{seed}/{task}/it{k}/{perturbation}.log",
    priority: 30
    params:
        spec=spec("butterfly"),
        code=code("butterfly"),
    message:
        "{wildcards.perturbation} of dense {wildcards.model} on {wildcards.dataset} at k = {wildcards.k}, seed {wildcards.seed}"


use rule training as layerwise with:
    """Train the second copy of the dense network, and measure the lines on which one layer alone moves."""
    input:
        data="results/data/{dataset}.safetensors",
        final=needs("layerwise", "final"),
        trajectory="results/dense/{dataset}/{model}/seed{seed}/{task}/trajectory.safetensors",
    output:
        rows="results/layerwise/{dataset}/{model}/seed{seed}/{task}/it{k}.csv",
        run="results/layerwise/{dataset}/{model}/seed{seed}/{task}/it{k}.json",
    log:
        "logs/layerwise/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    priority: 30
    params:
        spec=spec("layerwise"),
        code=code("layerwise"),
    message:
        "Lines of single layers of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"
