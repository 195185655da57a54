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
