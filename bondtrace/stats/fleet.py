# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary of many hosts' recordings, from a dataset that ``export --format parquet`` wrote.

It is one query, written once with Ibis, and run by DuckDB here or by Spark where that is available. Hosts and days are
in the names of directories: of those that are not asked for no file is opened, but for the dataset's first, which is
read for its columns.

Invariant: both return the same rows, and their sums are those of ``bondtrace summary`` of the recordings.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Optional

from ..analysis.why_unseen import REASONS
from ..errors import BondtraceError, UsageError, missing_package
from ..format.wire import OUTCOMES
from ..util.untrusted import printable

ENGINES = ("duckdb", "pyspark")
_EXTRAS = {"duckdb": "fleet", "pyspark": "fleet-spark"}
_KEYS = ("host", "tap", "tap_comm", "tap_pid", "tap_dev", "netns", "dev", "pass_direction")
_NEEDED = (*_KEYS, "netns_name", "tap_name", "kind", "outcome", "reason", "clean")

_REMEDY = "`bondtrace export FILE... --format parquet -o DIR/` makes one"


@dataclass(frozen=True)
class Wanted:
    """The part of a dataset that is asked for: these hosts (none: all of them), from the day ``since`` on, before the
    day ``until``, both UTC."""

    hosts: tuple[str, ...] = ()
    since: Optional[date] = None
    until: Optional[date] = None

    def of(self, table: Any) -> Any:
        """Return this part of an Ibis table. Both engines read nothing else, as only partitions are compared."""
        if self.hosts:
            table = table.filter(table.host.isin(self.hosts))
        if self.since:
            table = table.filter(table.day >= self.since.isoformat())
        if self.until:
            table = table.filter(table.day < self.until.isoformat())
        return table

    def without_rows(self, rows: Iterable[FleetRow]) -> list[str]:
        """Return the hosts that were asked for by name and have no rows."""
        found = {row.host for row in rows}
        return [host for host in dict.fromkeys(self.hosts) if host not in found]


@dataclass(frozen=True)
class FleetRow:
    """What became of a tap's packets on one device and direction; or, where ``dev`` is ``None``, how many packets it
    was not offered, by reason. ``doubtful`` counts those of them that may have been lost rather than not offered.

    The tap's ``inode`` is unique on its host; ``bound`` is the device to which it was bound then. ``comm``, ``pid``,
    ``name`` and ``bound`` are ``None`` for a tap of which nothing more is known.
    """

    host: str
    inode: int
    comm: Optional[str]
    pid: Optional[int]
    name: Optional[str]
    bound: Optional[str]
    netns: Optional[int]
    namespace: Optional[str]
    dev: Optional[str]
    direction: Optional[str]
    offered: int
    outcomes: dict[str, int]
    unseen: dict[str, int]
    doubtful: int


def summarise(dataset: str, engine: str = "duckdb", wanted: Wanted = Wanted()) -> list[FleetRow]:
    """Return the rows of a dataset: a directory, a single Parquet file, or a URL that the engine can read.

    :raises BondtraceError: where the engine's packages are missing or it cannot read the dataset.
    :raises UsageError: where there is no dataset.
    """
    files = _files(dataset)
    table = _read(engine, dataset, files)
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise UsageError(f"{dataset} is not a bondtrace dataset: it has no column {missing[0]!r}; {_REMEDY}")
    if (wanted.since or wanted.until) and "day" not in table.columns:
        raise UsageError(f"{dataset} has no days to select by: it is one file; {_REMEDY}")
    asked = query(wanted.of(table))
    found = _ask(engine, dataset, lambda: asked.to_pyarrow().to_pylist())
    return sorted(map(_row, found), key=_order)


def query(table: Any) -> Any:
    """Return the query, an Ibis expression over the rows of an export (``exporters.rows``)."""
    told = table.filter(table.kind.isin(("tap", "unseen")))
    tap, unseen = told.kind == "tap", told.kind == "unseen"
    count = partial(_count, told.kind)
    measures = {
        "offered": count(tap),
        "doubtful": count(unseen & ~told.clean),
        "tap_name": told.tap_name.max(),
        "netns_name": told.netns_name.max(),
    }
    measures |= {f"outcome_{name}": count(tap & (told.outcome == name)) for name in OUTCOMES.values()}
    measures |= {f"unseen_{number}": count(unseen & (told.reason == name)) for number, name in enumerate(REASONS)}
    return told.group_by(_KEYS).aggregate(**measures)


def _count(column: Any, where: Any) -> Any:
    return column.count(where=where)


def _row(values: dict[str, Any]) -> FleetRow:
    values = {name: printable(value) if isinstance(value, str) else value for name, value in values.items()}
    outcomes = {name: values[f"outcome_{name}"] for name in OUTCOMES.values()}
    unseen = {name: values[f"unseen_{number}"] for number, name in enumerate(REASONS)}
    return FleetRow(
        host=values["host"],
        inode=values["tap"],
        comm=values["tap_comm"],
        pid=values["tap_pid"],
        name=values["tap_name"],
        bound=values["tap_dev"],
        netns=values["netns"],
        namespace=values["netns_name"],
        dev=values["dev"],
        direction=values["pass_direction"],
        offered=values["offered"],
        outcomes={name: count for name, count in outcomes.items() if count},
        unseen={name: count for name, count in sorted(unseen.items(), key=lambda one: (-one[1], one[0])) if count},
        doubtful=values["doubtful"],
    )


def _order(row: FleetRow) -> tuple[Any, ...]:
    tap = row.bound or "", row.name or "", row.inode, row.comm or "", row.pid or 0
    return row.host, *tap, row.dev is None, row.netns or 0, row.dev or "", row.direction or ""


def _files(dataset: str) -> str:
    """Return what an engine is to read: a pattern that matches the dataset's files."""
    if "://" in dataset:
        return dataset if dataset.endswith(".parquet") else f"{dataset.rstrip('/')}/host=*/day=*/*.parquet"
    path = Path(dataset)
    if not path.exists():
        raise UsageError(f"there is no dataset {dataset}; {_REMEDY}")
    if path.is_file():
        return glob.escape(dataset)
    if not any(path.glob("host=*/day=*/*.parquet")):
        raise UsageError(f"{dataset} is not a bondtrace dataset: it has no host=*/day=*/*.parquet; {_REMEDY}")
    return f"{glob.escape(dataset.rstrip('/') or '/')}/host=*/day=*/*.parquet"


def _read(engine: str, dataset: str, files: str) -> Any:
    """Return the dataset as an Ibis table, in which ``host`` is text even if it looks like a number."""
    try:
        ibis: Any = import_module("ibis")
        backend: Any = getattr(ibis, engine)
        import_module(engine)
    except (ImportError, AttributeError):
        raise missing_package(f"fleet with {engine}", f"ibis-framework[{engine}]", _EXTRAS[engine]) from None
    if engine == "duckdb":
        return _ask(
            engine,
            dataset,
            lambda: backend.connect().read_parquet(files, hive_partitioning=True, hive_types_autocast=False),
        )
    return _ask(engine, dataset, lambda: _spark_table(backend, dataset))


def _spark_table(backend: Any, dataset: str) -> Any:
    """Return the dataset as read by the Spark that the environment names (``SPARK_REMOTE``, ``spark-defaults.conf``),
    or else by one in this process."""
    session = import_module("pyspark.sql").SparkSession.builder.appName("bondtrace fleet").getOrCreate()
    session.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    session.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")  # the timestamps have nanoseconds
    path = dataset if "://" in dataset else glob.escape(str(Path(dataset).resolve()))
    return backend.connect(session).read_parquet(path)


def _ask(engine: str, dataset: str, what: Callable[[], Any]) -> Any:
    """Call ``what``; errors of the engine, of any class, become a ``BondtraceError`` of one line."""
    try:
        return what()
    except Exception as error:
        lines: Iterator[str] = (line.strip() for line in str(error).splitlines() if line.strip())
        raise BondtraceError(f"{engine} cannot read {dataset}: {next(lines, type(error).__name__)}") from None
