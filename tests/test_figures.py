import ast
import inspect
import statistics
import subprocess
import sys
import warnings
from textwrap import dedent
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from pandas import DataFrame
from scipy import stats

from assigned import carry_out
from earlyphase.errors import InvalidInput
from earlyphase.results.figures import figure, render
from earlyphase.results.figures.effective_std import effective_std, readable
from earlyphase.results.figures.labels import WIDTH, drawable
from earlyphase.results.figures.one_round import one_round
from earlyphase.results.figures.perturbed import perturbed
from earlyphase.results.figures.rewinding import rewinding
from earlyphase.results.figures.style import curve_styles, plain
from earlyphase.results.figures.tickets import MASKS_OF_K, OWN_MASKS, TO_K

KS, ROUNDS, SEEDS = (0, 100, 500), 6, 3


def evaluation(seed, accuracy, iteration=400, **run):
    named = {"dataset": "digits", "model": "resnet8", "seed": seed, "task": "supervised"}
    return named | run | {"iteration": iteration, "accuracy": accuracy, "loss": 1 - accuracy}


def imp_run(seed, k, imp_round, accuracy, **other):
    return evaluation(seed, accuracy, k=k, round=imp_round, density=0.8**imp_round, **other)


def make_tables(ks=KS, rounds=ROUNDS, seeds=SEEDS):
    draw = np.random.default_rng(0).normal(0.9, 0.01, (seeds, len(ks), rounds + 1))
    imp = [
        imp_run(seed, k, imp_round, draw[seed, i, imp_round])
        for seed in range(seeds)
        for i, k in enumerate(ks)
        for imp_round in range(1, rounds + 1)
    ]
    return {"imp": DataFrame(imp), "dense": DataFrame([evaluation(s, draw[s, 0, 0]) for s in range(seeds)])}


@pytest.fixture
def tables():
    return make_tables()


def error_bars(ax):
    return [container for container in ax.containers if isinstance(container, ErrorbarContainer)]


def point(points, k, imp_round):
    return points[(points["k"] == k) & (points["round"] == imp_round)].iloc[0]


def test_axis_is_logarithmic_and_falls_from_100(tables):
    (ax,) = rewinding(tables)[0].axes
    left, right = ax.get_xlim()
    assert ax.get_xscale() == "log" and left > 100 > right
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "100",
        "80",
        "64",
        "51.2",
        "41",
        "32.8",
        "26.2",
    ]
    assert "(%)" in ax.get_xlabel() and "(%)" in ax.get_ylabel()


def test_every_point_has_an_error_bar_of_one_sample_standard_deviation(tables):
    figure, points = rewinding(tables)
    curves = error_bars(figure.axes[0])
    assert [curve.get_label() for curve in curves] == ["k = 0", "k = 100", "k = 500"]
    for k, curve in zip(KS, curves, strict=True):
        (bars,) = curve.lines[2]
        assert len(bars.get_segments()) == ROUNDS
        for imp_round, ((_, low), (_, high)) in enumerate(bars.get_segments(), start=1):
            imp = tables["imp"]
            seeds = imp[(imp["k"] == k) & (imp["round"] == imp_round)]["accuracy"]
            assert (high - low) / 2 == pytest.approx(100 * statistics.stdev(seeds))
            assert (high + low) / 2 == pytest.approx(100 * statistics.mean(seeds))
            row = point(points, k, imp_round)
            assert [row["mean"], row["std"]] == pytest.approx(
                [statistics.mean(seeds), statistics.stdev(seeds)]
            )
            assert (row["n"], row["diverged"]) == (SEEDS, 0)
    assert len(points) == 1 + len(KS) * ROUNDS
    assert points["k"].isna().tolist() == [True] + [False] * (len(points) - 1)
    assert points["density"].iloc[0] == 1
    assert points["std"].iloc[0] == pytest.approx(statistics.stdev(tables["dense"]["accuracy"]))


def test_shown_densities_stay_within_half_a_round_of_the_true_ones():
    figure, points = rewinding(make_tables(ks=(0, 10, 50, 100, 250, 500, 1000, 2000, 4000)))
    for curve, (_, shown) in zip(error_bars(figure.axes[0]), points.groupby("k"), strict=True):
        steps = np.log(curve.lines[0].get_xdata().astype(float) / (100 * shown["density"])) / np.log(0.8)
        assert np.abs(steps).max() <= 0.3 + 1e-9


@pytest.mark.parametrize("column", ["accuracy", "loss"])
def test_diverged_run_is_left_out_counted_and_marked(tables, column):
    imp = tables["imp"]
    lost = (imp["k"] == 100) & (imp["round"] == 4) & (imp["seed"] == 1)
    imp.loc[lost, column] = float("nan")
    figure, points = rewinding(tables)
    row = point(points, 100, 4)
    others = imp[(imp["k"] == 100) & (imp["round"] == 4) & (imp["seed"] != 1)]["accuracy"]
    assert (row["n"], row["diverged"]) == (2, 1)
    assert row["mean"] == pytest.approx(statistics.mean(others))
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert sum(len(line.get_xdata()) for line in crosses) == 1
    note = figure.get_supxlabel()
    assert "n = 2 to 3 seeds" in note
    assert "1 diverged run" in note


def test_point_where_every_seed_diverged_is_kept_as_missing(tables):
    imp = tables["imp"]
    imp.loc[(imp["k"] == 0) & (imp["round"] == ROUNDS), "accuracy"] = float("nan")
    figure, points = rewinding(tables)
    row = point(points, 0, ROUNDS)
    assert np.isnan(row["mean"])
    assert (row["n"], row["diverged"]) == (0, SEEDS)
    assert "n = 3 seeds" in figure.get_supxlabel()


def test_one_seed_has_no_bars_and_says_so():
    alone = with_perturbed(seeds=1)
    for drawn, points in (rewinding(alone), effective_std(alone, round=6, families=FAMILIES)):
        assert all(not curve.lines[2] for curve in error_bars(drawn.axes[0]))
        assert drawn.get_supxlabel() == "One seed: no standard deviation"
        assert points["std"].isna().all()


def test_an_empty_table_is_said_in_words(tables, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("imp", "dense"):
        tables[name][:0].to_csv(f"{name}.csv", index=False)
    outputs = {name: name for name in ("svg", "png", "table")}
    described = {"entry": {"function": "rewinding"}, "classes": 10}
    assert carry_out("figure", described, {"tables": ["imp.csv", "dense.csv"]}, outputs)
    assert "figure rewinding: the table imp holds no run" in capsys.readouterr().err


@pytest.mark.parametrize("file_format", ["svg", "png", "pdf"])
def test_same_tables_in_any_order_give_the_same_bytes(tables, file_format):
    first = render(rewinding(tables)[0], file_format)
    shuffled = {name: table.sample(frac=1, random_state=0) for name, table in tables.items()}
    with rc_context({"font.size": 20, "svg.hashsalt": None}):  # what a user's own settings might say
        assert render(rewinding(shuffled)[0], file_format) == first


def test_ten_curves_differ_without_colour_and_lighten_in_grey():
    styles = list(curve_styles([str(i) for i in range(10)]).values())
    shapes = {(s["marker"], isinstance(s["markerfacecolor"], str), s["linestyle"]) for s in styles}
    luminance = [s["color"][:3] @ [0.299, 0.587, 0.114] for s in styles]
    assert len(shapes) == 10
    assert (np.diff(luminance) > 0).all()


@pytest.mark.parametrize(
    ("percent", "text"), [(100, "100"), (51.2, "51.2"), (40.96, "41"), (6.87, "6.9"), (0.352, "0.35")]
)
def test_ticks_are_plain_numbers(percent, text):
    assert plain(percent) == text


def test_figures_are_free_of_slow_imports():
    slow = "{'torch', 'matplotlib.pyplot', 'scipy.stats', 'scipy.special'}"
    program = f"import sys, earlyphase.results.figures; print({slow} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


# Figures 4 to 8

SHOW = [{"shuffle_layers": "shuffled"}, {"noise_1": "noise"}]
SHOWN = {"shuffled", "noise"}
FAMILIES = [{"shuffle": ["shuffle_layers", "shuffle_kernels"]}, {"noise": ["noise_1", "noise_2", "absent"]}]
SIZES = {"shuffle_layers": 0.14, "shuffle_kernels": 0.09, "noise_1": 0.1, "noise_2": 0.2, "rewind_to_0": 0.05}


def with_perturbed(seeds=SEEDS, ks=(100, 500), rounds=(3, 6), names=tuple(SIZES)):
    draw = np.random.default_rng(1)
    rows = [
        imp_run(
            seed, k, imp_round, draw.normal(0.9 - SIZES[name] / 5, 0.01),
            perturbation=name, effective_mean=0.0, effective_std=SIZES[name] * draw.normal(1, 0.01),
        )
        for seed in range(seeds) for k in ks for imp_round in rounds for name in names
    ]  # fmt: skip
    return make_tables(seeds=seeds) | {"perturbed": DataFrame(rows)}


def select(table, **values):
    for column, value in values.items():
        table = table[table[column].isin([value])]
    return table


def test_perturbed_has_a_panel_for_each_k_with_both_readings_of_rewinding_to_0():
    figure, points = perturbed(with_perturbed(), show=SHOW)
    assert [ax.get_title("left") for ax in figure.axes] == [
        "resnet8, digits: k = 100", "resnet8, digits: k = 500",
    ]  # fmt: skip
    for ax in figure.axes:
        labels = [curve.get_label() for curve in error_bars(ax)]
        assert labels == [TO_K, OWN_MASKS, MASKS_OF_K, "shuffled", "noise"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert "n = 3 seeds" in figure.get_supxlabel()
    assert points["curve"].iloc[0] == "dense"


def test_perturbed_points_are_means_over_the_seeds_of_one_k_and_round():
    tables = with_perturbed()
    points = perturbed(tables, show=SHOW)[1]
    for k, imp_round in ((100, 3), (500, 6)):
        place = {"k": k, "round": imp_round}
        imp, branches = tables["imp"], tables["perturbed"]
        expected = {
            TO_K: select(imp, **place),
            OWN_MASKS: select(imp, k=0, round=imp_round),
            MASKS_OF_K: select(branches, perturbation="rewind_to_0", **place),
            "shuffled": select(branches, perturbation="shuffle_layers", **place),
        }
        for curve, runs in expected.items():
            (row,) = select(points, curve=curve, **place).to_dict("records")
            assert row["mean"] == pytest.approx(statistics.mean(runs["accuracy"]))
            assert row["std"] == pytest.approx(statistics.stdev(runs["accuracy"]))
            assert (row["n"], row["density"]) == (SEEDS, pytest.approx(0.8**imp_round))


def test_without_baselines_the_perturbed_runs_are_drawn():
    tables = {"perturbed": with_perturbed(names=("noise_1",))["perturbed"]}
    for drawn, points in (perturbed(tables, show=SHOW), one_round(tables, round=6, show=SHOW)):
        assert set(points["curve"]) == {"noise"} and len(drawn.axes) == 2
    assert not drawn.legends


def test_baselines_are_grey_and_heavier_than_perturbations():
    ax = perturbed(with_perturbed(), show=SHOW)[0].axes[0]
    lines = {curve.get_label(): curve.lines[0] for curve in error_bars(ax)}
    for label, line in lines.items():
        shade = to_rgb(line.get_color())
        assert (len(set(shade)) == 1) == (label not in SHOWN)
    lightest = min(lines[label].get_linewidth() for label in (TO_K, OWN_MASKS, MASKS_OF_K))
    assert lightest > max(lines[label].get_linewidth() for label in SHOWN)


def test_diverged_perturbed_run_is_left_out_counted_and_marked():
    tables = with_perturbed()
    lost = select(tables["perturbed"], seed=1, k=500, round=6, perturbation="noise_1").index
    tables["perturbed"].loc[lost, "loss"] = float("inf")
    figure, points = perturbed(tables, show=SHOW)
    (row,) = select(points, k=500, round=6, curve="noise").to_dict("records")
    assert (row["n"], row["diverged"]) == (2, 1)
    assert "1 diverged run" in figure.get_supxlabel()
    assert sum(len(line.get_xdata()) for line in figure.axes[1].lines if line.get_marker() == "x") == 1
    sizes = effective_std(tables, round=6, families=FAMILIES)[1]
    (row,) = select(sizes, k=500, perturbation="noise_1").to_dict("records")
    kept = select(tables["perturbed"].drop(lost), k=500, round=6, perturbation="noise_1")
    assert (row["n"], row["diverged"]) == (2, 1)
    assert row["mean"] == pytest.approx(kept["accuracy"].mean())
    assert row["effective_std"] == pytest.approx(kept["effective_std"].mean())


def test_one_round_shows_a_row_for_each_perturbation_from_the_top():
    tables = with_perturbed()
    figure, points = one_round(tables, round=6, show=SHOW)
    assert set(points["round"]) == {6}
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["shuffled", "noise"]
    for ax, k in zip(figure.axes, (100, 500), strict=True):
        assert ax.get_title("left").endswith(f"k = {k}")
        assert ax.get_xlabel() == "Test accuracy (%) at 26.2 % of weights"
        (curve,) = error_bars(ax)
        drawn = dict(zip(curve.lines[0].get_ydata(), curve.lines[0].get_xdata(), strict=True))
        for place, name in zip(ax.get_yticks(), ("shuffle_layers", "noise_1"), strict=True):
            runs = select(tables["perturbed"], k=k, round=6, perturbation=name)
            assert drawn[place] == pytest.approx(100 * runs["accuracy"].mean())
        lines = {line.get_label(): line.get_xdata()[0] for line in ax.lines if len(line.get_xdata())}
        assert lines[TO_K] == pytest.approx(100 * select(tables["imp"], k=k, round=6)["accuracy"].mean())


def test_line_and_correlation_are_over_means_and_not_over_runs():
    tables = with_perturbed()
    figure, points = effective_std(tables, round=6, families=FAMILIES)
    runs = tables["perturbed"].query("round == 6 and perturbation != 'rewind_to_0'")
    for ax, k in zip(figure.axes, (100, 500), strict=True):
        means = runs[runs["k"] == k].groupby("perturbation")[["effective_std", "accuracy"]].mean()
        pearson = stats.pearsonr(means["effective_std"], means["accuracy"])
        line = stats.linregress(means["effective_std"], means["accuracy"])
        shown = points[points["k"] == k].set_index("perturbation")
        assert list(shown.index) == ["shuffle_layers", "shuffle_kernels", "noise_1", "noise_2"]
        assert shown["r"].unique() == pytest.approx([pearson.statistic])
        assert shown["p"].unique() == pytest.approx([pearson.pvalue])
        residuals = means["accuracy"] - line.intercept - line.slope * means["effective_std"]
        assert shown["residual"].to_dict() == pytest.approx(residuals.to_dict())
        over_runs = stats.pearsonr(runs["effective_std"], runs["accuracy"]).statistic
        assert abs(over_runs - pearson.statistic) > 0.05
        (text,) = [text.get_text() for text in ax.texts if text.get_gid() == "fit"]
        assert text.startswith(
            f"Pearson r = \N{MINUS SIGN}{-pearson.statistic:.2f}, p = {pearson.pvalue:.2g}"
        )
        assert "4 perturbations" in text


def test_every_point_of_figure_8_is_named_with_its_bars():
    figure, points = effective_std(with_perturbed(), round=6, families=FAMILIES)
    for ax, (_, shown) in zip(figure.axes, points.groupby("k"), strict=True):
        labels = [text.get_text() for text in ax.texts if text.get_gid() == "label"]
        assert labels == [readable(name) for name in shown["perturbation"]]
        bars = [segment for curve in error_bars(ax) for segment in curve.lines[2][1].get_segments()]
        heights = [(high - low) / 2 for (_, low), (_, high) in bars]
        assert heights == pytest.approx(list(100 * shown["std"]))
        for text in ax.texts:
            text.get_window_extent()  # moves it into place
        boxes = [Text.get_window_extent(text) for text in ax.texts]  # without its line
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_few_points_or_points_of_one_accuracy_have_no_correlation():
    for names, change, why in (
        (("noise_1",), {}, "needs three points"),
        (("noise_1", "noise_2"), {}, "needs three points"),
        (
            ("shuffle_layers", "noise_1", "noise_2"),
            {"accuracy": 1.0},
            "no r: sizes or accuracies are all equal",
        ),
    ):
        tables = with_perturbed(names=names)
        tables["perturbed"] = tables["perturbed"].assign(**change)
        figure, points = effective_std(tables, round=6, families=[{"some": list(names)}])
        assert points["r"].isna().all() and why in figure.axes[0].texts[0].get_text()


def test_figure_8_without_one_accuracy_is_drawn():
    tables = with_perturbed()
    tables["perturbed"].loc[tables["perturbed"]["perturbation"] == "noise_2", "accuracy"] = float("nan")
    figure, points = effective_std(tables, round=6, families=FAMILIES)
    assert points["n"].tolist() == [3, 3, 3, 0] * 2
    assert "3 perturbations" in figure.axes[0].texts[0].get_text()
    tables["perturbed"]["accuracy"] = float("nan")
    figure, points = effective_std(tables, round=6, families=FAMILIES)
    assert points["n"].tolist() == [0] * 8
    assert "Every run diverged" in figure.get_supxlabel()


def test_figure_8_of_tables_in_any_order_has_the_same_bytes():
    tables = with_perturbed()
    shuffled = {name: table.sample(frac=1, random_state=0) for name, table in tables.items()}
    drawn = [effective_std(given, round=6, families=FAMILIES)[0] for given in (tables, shuffled)]
    assert render(drawn[0], "svg") == render(drawn[1], "svg")


def test_names_of_perturbations_are_readable():
    for name, words in {
        "noise_0.5": "noise 0.5", "shuffle_layers_signs_k": "shuffle layers\nsigns k", "a" * 20: "a" * 20,
    }.items():  # fmt: skip
        assert readable(name) == words


# What the three say when there is nothing to show

DRAW = {
    "perturbed": lambda tables: perturbed(tables, show=SHOW),
    "one_round": lambda tables: one_round(tables, round=6, show=SHOW),
    "effective_std": lambda tables: effective_std(tables, round=6, families=FAMILIES),
}


@pytest.mark.parametrize("name", DRAW)
def test_nothing_to_show_is_said_in_words(name):
    missing = f"figure {name}: .* holds no run.* to show .*shuffle_layers.*noise_1"
    for tables in (with_perturbed(names=("rewind_to_0",)), make_tables()):
        with pytest.raises(InvalidInput, match=missing):
            DRAW[name](tables)
    if name != "perturbed":
        with pytest.raises(InvalidInput, match=f"figure {name}: .* no run of round 6 "):
            DRAW[name](with_perturbed(rounds=(3,)))


def test_one_run_that_diverged_is_something_to_show():
    tables = with_perturbed(names=("noise_1",))
    tables["perturbed"]["accuracy"] = float("nan")
    for draw in DRAW.values():
        assert "diverged" in draw(tables)[0].get_supxlabel()


# What a figure reads


class Declared(dict):
    """Tables that may be asked for by their declared names only."""

    def check(self, name):
        assert dict.__contains__(self, name), f"reads the table {name}, which it does not declare"
        return name

    def __getitem__(self, name):
        return super().__getitem__(self.check(name))

    def __contains__(self, name):
        return super().__contains__(self.check(name))

    def get(self, name, default=None):
        return super().get(self.check(name), default)

    def refuse(self, *_):
        raise AssertionError("goes through the tables, whichever they are")

    __iter__ = keys = values = copy = __or__ = __ror__ = __len__ = refuse


def declared(function):
    """`reads` and `uses` of a figure, as they stand in its source."""
    (definition,) = ast.parse(dedent(inspect.getsource(function))).body
    (decorator,) = definition.decorator_list
    facts = {word.arg: ast.literal_eval(word.value) for word in decorator.keywords}
    return facts["reads"], facts.get("uses", ())


def check_declaration(name, tables, **arguments):
    """A figure works on what it declares alone; without a table it fails, or shows something else."""
    draw = figure[name]
    reads, uses = declared(draw)
    assert not set(reads) & set(uses)
    given = {table: tables[table] for table in (*reads, *uses)}
    points = draw(Declared(given), **arguments)[1]
    for table in reads:
        with pytest.raises((KeyError, InvalidInput)):
            draw({other: rows for other, rows in given.items() if other != table}, **arguments)
    for table in uses:
        less = {other: rows for other, rows in given.items() if other != table}
        assert len(draw(less, **arguments)[1]) < len(points)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("rewinding", {}),
        ("perturbed", {"show": SHOW}),
        ("one_round", {"round": 6, "show": SHOW}),
        ("effective_std", {"round": 6, "families": FAMILIES}),
    ],
)
def test_a_figure_of_tickets_reads_what_it_declares(name, arguments):
    check_declaration(name, with_perturbed(), **arguments)


# Labels are text, drawn as it stands

LABELS = [
    r"$\sigma$", r"$\frac$", "5 $ or $ 6", "__", "a & b <c>", "\\", "{", "two\nlines", "x" * 200, "many words " * 18,
]  # fmt: skip


def labels_of(drawn):
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    return legend + [tick.get_text() for tick in drawn.axes[0].get_yticklabels()]


@pytest.mark.parametrize(("first", "second"), [*zip(LABELS[::2], LABELS[1::2], strict=True)])
def test_any_label_is_drawn(first, second):
    """In each of the figures that draw labels of users."""
    tables = with_perturbed(seeds=2, ks=(100,), rounds=(6,))
    show = [{"shuffle_layers": first}, {"noise_1": second}]
    families = [{first: ["shuffle_layers", "shuffle_kernels"]}, {second: ["noise_1", "noise_2"]}]
    for drawn, points in (
        perturbed(tables, show=show),
        one_round(tables, round=6, show=show),
        effective_std(tables, round=6, families=families),
    ):
        for label in (first, second):
            assert drawable(label.strip()) in labels_of(drawn)
            assert label.strip() in set(points["family" if "family" in points else "curve"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as a layout that finds no room
            drawn.draw_without_rendering()


def outlines(text):
    """Shapes of the letters that matplotlib draws for a text."""
    drawn = Figure()
    drawn.text(0.5, 0.5, text)
    tree = ElementTree.fromstring(render(drawn, "svg"))
    return {
        path.get("d")
        for path in tree.iter("{http://www.w3.org/2000/svg}path")
        if path.get("id") and path.get("d")
    }


@pytest.mark.parametrize("label", [r"$1\sigma_{x$", "$", "a $ b", r"$\sigma$", "_hidden"])
def test_a_label_is_drawn_sign_by_sign_as_it_stands(label):
    signs = set().union(*(outlines(sign.replace("$", r"\$")) for sign in set(label) - {" "}))
    assert outlines(drawable(label)) == signs


def test_long_labels_are_broken_at_words():
    lines = drawable("noise of the standard deviation of the layer and of some more words").split("\n")
    assert len(lines) == 2 and max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("label", ["same", TO_K, OWN_MASKS, MASKS_OF_K, "dense"])
def test_runs_of_two_curves_with_one_label_are_not_averaged_together(label):
    show = [{"shuffle_layers": label}, {"noise_1": "same"}]
    points = perturbed(with_perturbed(), show=show)[1]
    wanted = perturbed(with_perturbed(), show=SHOW)[1]
    assert points.drop(columns="curve").equals(wanted.drop(columns="curve"))
    assert f"{label} (shuffle_layers)" in set(points["curve"])
    assert set(points["n"]) == {SEEDS}


def test_rewinding_to_0_may_be_listed_under_its_own_name_or_another():
    points = perturbed(with_perturbed(), show=[*SHOW, {"rewind_to_0": MASKS_OF_K}])[1]
    assert points.equals(perturbed(with_perturbed(), show=SHOW)[1])
    points = perturbed(with_perturbed(), show=[*SHOW, {"rewind_to_0": "state of 0"}])[1]
    assert "state of 0" in set(points["curve"]) and MASKS_OF_K not in set(points["curve"])


def test_a_label_that_two_come_to_have_is_refused():
    show = [{"shuffle_layers": "a"}, {"noise_1": "a"}, {"noise_2": "a (noise_1)"}]
    with pytest.raises(InvalidInput, match=r"the label 'a \(noise_1\)' is given 2 times"):
        perturbed(with_perturbed(), show=show)


@pytest.mark.parametrize("label", ["", "  ", None])
def test_without_a_label_the_name_is_shown(label):
    points = perturbed(with_perturbed(), show=[{"noise_1": label}, {"noise_2": "two"}])[1]
    assert {"noise_1", "two"} <= set(points["curve"])
    points = effective_std(with_perturbed(), round=6, families=[{label: ["noise_1", "noise_2"]}])[1]
    assert set(points["family"]) == {"noise_1, noise_2"}


def test_families_of_one_label_are_one_family():
    parts = [{"all": ["shuffle_layers"]}, {"all": ["noise_1"]}]
    drawn, points = effective_std(with_perturbed(), round=6, families=parts)
    assert points["perturbation"].tolist() == ["shuffle_layers", "noise_1"] * 2
    assert [entry.get_text() for entry in drawn.legends[0].get_texts()] == ["all"]


# Dead networks


def with_dead(table, chosen):
    """The table with dead networks in the chosen rows."""
    return table.assign(dead=table.index.isin(table.query(chosen).index))


def test_dead_networks_are_marked_counted_and_in_the_mean():
    tables = with_perturbed()
    tables["imp"] = with_dead(tables["imp"], "seed < 2 and k == 100 and round == 4")
    figure, points = rewinding(tables)
    row = point(points, 100, 4)
    assert (row["n"], row["diverged"], row["dead"]) == (SEEDS, 0, 2)
    assert row["mean"] == pytest.approx(point(rewinding(with_perturbed())[1], 100, 4)["mean"])
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "+"]
    assert sum(len(line.get_xdata()) for line in marks) == 1
    assert "+: 2 dead runs, in the mean" in figure.get_supxlabel()
    chosen = "seed == 0 and k == 500 and round == 6 and perturbation == 'noise_1'"
    tables["perturbed"] = with_dead(tables["perturbed"], chosen)
    for draw in (DRAW["one_round"], DRAW["effective_std"]):
        figure, _ = draw(tables)
        counts = [len(line.get_xdata()) for line in figure.axes[1].lines if line.get_marker() == "+"]
        assert sum(counts) == 1 and "+: 1 dead run, in the mean" in figure.get_supxlabel()


def test_a_row_that_was_not_run_says_so():
    tables = with_perturbed()
    missing = select(tables["perturbed"], k=100, perturbation="noise_1").index
    tables["perturbed"] = tables["perturbed"].drop(missing)
    figure, _ = one_round(tables, round=6, show=[*SHOW, {"shuffle_kernels": "kernels"}])
    first, second = ([text.get_text() for text in ax.texts] for ax in figure.axes)
    assert (first, second) == (["not run"], [])
