from earlyphase import InvalidInput, figure
from earlyphase.results.figures.style import add_note, house_style, new_axes
from earlyphase.results.figures.tickets import density_axis
from earlyphase.results.summaries import last_evaluations


@figure(reads=("imp",))
def gain(tables, *, over: int, k: int):
    """Draw what rewinding to k gains over rewinding to an earlier iteration: a point for each seed."""
    runs = last_evaluations(tables["imp"], ["k", "round", "seed"]).set_index(["round", "seed"])
    for wanted in (over, k):
        if wanted not in set(runs["k"]):
            raise InvalidInput(f"figure gain: no ticket rewinds to {wanted}; there are {set(runs['k'])}")
    early, late = (runs[runs["k"] == wanted] for wanted in (over, k))
    points = (late[["density"]].assign(gain=late["accuracy"] - early["accuracy"])).reset_index()
    with house_style():
        picture, (ax,) = new_axes(1)
        beside = 0.985 ** (points["seed"] - points["seed"].mean())  # seeds stand side by side
        ax.plot(100 * points["density"] * beside, 100 * points["gain"], "o", markersize=4, color="0.45")
        means = points.groupby("round")[["density", "gain"]].mean()
        ax.plot(100 * means["density"], 100 * means["gain"], "_", markersize=22, color="black")
        ax.axhline(0, color="black", linewidth=0.8)
        density_axis(ax, points)
        ax.set_ylabel(f"Accuracy of k = {k} minus k = {over} (points)")
        add_note(picture, f"A point for each of {points['seed'].nunique()} seeds; lines: their means")
    return picture, points
