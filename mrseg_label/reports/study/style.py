"""How the figures of a study look: for print, colours that people can tell apart, saved as SVG that is always the same."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK = "#22262b"
FAINT = "#6a727c"
GRID = "#e4e7eb"
# Okabe and Ito's, in an order in which neighbours differ in lightness too.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")
WIDTH_INCHES = 7.2  # of two columns
_STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "mrseg-label",  # else the ids of an SVG differ each time
    "svg.fonttype": "path",  # the same on every machine, whatever fonts it has
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(height_inches: float, width_inches: float = WIDTH_INCHES) -> Figure:
    """Make an empty figure."""
    figure = Figure(figsize=(width_inches, height_inches), facecolor="white", layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def svg_of(figure: Figure) -> str:
    """Save a figure as SVG text, without a date."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, dpi=200)
    return file.getvalue()


def color_of(names: Sequence[str], name: str) -> str:
    """The colour of one of several names."""
    return COLORS[list(names).index(name) % len(COLORS)]


def tidy(axes: Axes, *, along: str) -> None:
    """Show a light grid along one axis, behind everything."""
    axes.grid(axis=along, color=GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def shown(name: str) -> str:
    """The name of a structure as people read it."""
    return name.replace("_", " ")
