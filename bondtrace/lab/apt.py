# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds kernel packages in the machine's own Debian archive, including its other suites.

The text half is pure: apt sources in, a private source list out; package names in, a choice out. The other half,
:class:`PrivateApt`, runs apt on that list inside a directory of its own.

Invariant: the machine's apt configuration, its lists and its installed packages are never changed, and every package is
checked against the same keyrings that the machine trusts for that archive.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import BondtraceError

#: Debian releases whose kernels the lab offers, oldest first. apt skips a suite that no longer exists.
DEBIAN_CODENAMES = ("bullseye", "bookworm", "trixie")

#: Releases whose backports suite has kernels of its own and is still on the release's server.
BACKPORTS_CODENAMES = ("bookworm", "trixie")

#: What a source list may call the release instead of its codename.
SUITE_ALIASES = ("stable", "oldstable", "oldoldstable", "testing")

#: How long downloaded package lists are trusted before they are fetched again.
LISTS_AGE_S = 24 * 3600

GIVE_A_PATH = "give --kernel the path of an unpacked kernel or of a vmlinuz instead"


@dataclasses.dataclass(frozen=True)
class SourceEntry:
    """One binary ("deb") entry of apt's sources, from either of the two formats."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    #: The fields that say which keys to trust (Signed-By, Trusted), as deb822 text with its continuation lines.
    trust: tuple[tuple[str, str], ...] = ()


def parse_deb822(text: str) -> list[SourceEntry]:
    """Return the binary, enabled entries of a ``.sources`` file."""
    entries = []
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n[ \t]*\n", without_comments):
        fields = _stanza_fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip() == "no":
            continue
        trust = tuple((name, fields[name.lower()]) for name in ("Signed-By", "Trusted") if name.lower() in fields)
        entries.append(
            SourceEntry(
                tuple(fields.get("uris", "").split()),
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                trust,
            )
        )
    return entries


def _stanza_fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t"):
            if name:
                fields[name] += "\n" + line.rstrip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def parse_one_line(text: str) -> list[SourceEntry]:
    """Return the binary entries of a ``sources.list`` file."""
    entries = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match is None:
            continue
        options, uri, suite, components = match.groups()
        entries.append(SourceEntry((uri,), (suite,), tuple(components.split()), _one_line_trust(options or "")))
    return entries


def _one_line_trust(options: str) -> tuple[tuple[str, str], ...]:
    values = dict(option.split("=", 1) for option in options.split() if "=" in option)
    known = (("Signed-By", "signed-by"), ("Trusted", "trusted"))
    return tuple((name, values[key].replace(",", " ")) for name, key in known if key in values)


def archive_entry(entries: Iterable[SourceEntry], codename: str) -> SourceEntry | None:
    """Return the entry of the Debian archive itself: the one with the machine's own release and main."""
    names = {codename, *SUITE_ALIASES}
    return _debian_entry(entries, names, "debian")


def security_entry(entries: Iterable[SourceEntry], codename: str) -> SourceEntry | None:
    """Return the entry of Debian's security archive."""
    names = {f"{name}-security" for name in (codename, *SUITE_ALIASES)}
    return _debian_entry(entries, names, "debian-security")


def _debian_entry(entries: Iterable[SourceEntry], suites: set[str], path: str) -> SourceEntry | None:
    """Return the first entry with one of the suites. Other archives use the same suite names, so the path decides."""
    found = [entry for entry in entries if suites & set(entry.suites) and "main" in entry.components]
    by_path = [entry for entry in found if any(uri.rstrip("/").endswith("/" + path) for uri in entry.uris)]
    return next(iter(by_path or found), None)


def private_sources(entries: Sequence[SourceEntry], own_codename: str, codenames: Sequence[str]) -> str:
    """Return a deb822 source list with the kernels of these releases, from where the machine gets its packages.

    Empty when the sources do not name a Debian archive. Backports are included only when more than the machine's own
    release is asked for: the machine's default kernel is never a backport.
    """
    suites = list(codenames)
    if list(codenames) != [own_codename]:
        suites += [f"{name}-backports" for name in BACKPORTS_CODENAMES if name in codenames]
    return _sources(entries, own_codename, suites, codenames)


def userland_sources(entries: Sequence[SourceEntry], own_codename: str, codename: str) -> str:
    """Return a deb822 source list for a whole system of this release; empty when the sources name no Debian archive."""
    return _sources(entries, own_codename, [codename], [] if codename == "sid" else [codename])


def _sources(entries: Sequence[SourceEntry], own_codename: str, suites: Sequence[str], secured: Sequence[str]) -> str:
    """Return the list of these suites of the archive, and of the security suites of ``secured`` (sid has none)."""
    archive = archive_entry(entries, own_codename)
    if archive is None:
        return ""
    text = _deb822(archive, suites)
    security = security_entry(entries, own_codename)
    if security is not None and secured:
        text += "\n" + _deb822(security, [f"{name}-security" for name in secured])
    return text


def _deb822(entry: SourceEntry, suites: Sequence[str]) -> str:
    uris = [uri for uri in entry.uris if not uri.startswith("cdrom:")]
    lines = ["Types: deb", f"URIs: {' '.join(uris)}", f"Suites: {' '.join(suites)}", "Components: main"]
    lines += [f"{name}: {value}" for name, value in entry.trust]
    return "\n".join(lines) + "\n"


def natural_key(release: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts releases by the numbers in them: 6.9 before 6.12, +deb13 before +deb13.1."""
    parts = re.findall(r"\d+|\D+", release)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


_SHORT_SPEC = re.compile(r"(\d+\.\d+(?:\.\d+)*)(-rt)?")


def is_short_spec(spec: str) -> bool:
    """Does it name a series ("6.1", "6.12-rt") and not one release?"""
    return _SHORT_SPEC.fullmatch(spec) is not None


def matches(release: str, spec: str, arch: str) -> bool:
    """Is the release ("6.1.0-56-amd64") one that the spec ("6.1", "6.12-rt", a whole release) means?"""
    if release == spec:
        return True
    short = _SHORT_SPEC.fullmatch(spec)
    parts = re.fullmatch(rf"(\d+\.\d+\.\d+(?:[-+.~].*?)?)(-rt)?-{re.escape(arch)}", release)
    if short is None or parts is None:
        return False
    version, flavour = parts.group(1), parts.group(2)
    if "-cloud" in version or flavour != short.group(2):
        return False
    return re.match(rf"{re.escape(short.group(1))}(?!\d)", version) is not None


def newest_first(releases: Iterable[str], spec: str, arch: str) -> list[str]:
    """Return the releases that match, the highest version first."""
    found = {release for release in releases if matches(release, spec, arch)}
    return sorted(found, key=lambda release: natural_key(release[: -len(arch)]), reverse=True)


def releases_in(packages: Iterable[str]) -> list[str]:
    """Return the kernel releases in a list of package names, without metapackages, unsigned and debug packages."""
    found = (re.fullmatch(r"linux-image-(\d+\.\d+\.\d+.*)", name) for name in packages)
    releases = [match.group(1) for match in found if match is not None]
    return [release for release in releases if not release.endswith(("-dbg", "-unsigned", "-template"))]


def packages_of(release: str, packages: Iterable[str]) -> list[str]:
    """Return the packages that together hold one release: newer kernels split linux-image into binary and modules."""
    offered = set(packages)
    names = [f"linux-{part}-{release}" for part in ("image", "binary", "modules")]
    return [name for name in names if name in offered]


def default_release(depends_output: str) -> str | None:
    """Return the release that a metapackage depends on, from the output of ``apt-cache depends``."""
    match = re.search(r"Depends: linux-image-(\d+\.\d+\.\d+\S*)", depends_output)
    return match.group(1) if match else None


def apt_configuration(directory: Path, arch: str) -> str:
    """Return an apt.conf that keeps all that apt writes below ``directory``."""
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": f"{directory}/sources.d",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": f"{directory}/state",
        "Dir::State::lists": f"{directory}/lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": f"{directory}/cache",
        "Dir::Cache::archives": f"{directory}/cache/archives",
        "Acquire::Languages": "none",
        # An old release's index expires once its support ends; its signature stays valid.
        "Acquire::Check-Valid-Until": "false",
        # apt's own user may not read a cache in a home directory.
        "APT::Sandbox::User": "root",
        "APT::Architecture": arch,
    }
    lines = [f'{name} "{value}";' for name, value in settings.items()]
    lines += ["#clear APT::Architectures;", f'APT::Architectures {{ "{arch}"; }};']
    lines += ["#clear APT::Update::Pre-Invoke;", "#clear APT::Update::Post-Invoke;"]
    lines += ["#clear APT::Update::Post-Invoke-Success;"]
    return "\n".join(lines) + "\n"


def os_release(text: str) -> dict[str, str]:
    """Return the assignments in an os-release file."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): " ".join(shlex.split(value)) for name, value in pairs}


def require_apt() -> None:
    """Raise ``BondtraceError`` unless the machine can download and unpack Debian's packages."""
    for tool in ("apt-get", "apt-cache", "apt-config", "dpkg", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise BondtraceError(f"no {tool} on this machine to download a kernel with: {GIVE_A_PATH}")


def machine_codename() -> str:
    """Return the machine's own Debian release, e.g. "bookworm". ``BondtraceError`` on another system."""
    names = os_release(Path("/etc/os-release").read_text(encoding="utf-8"))
    if names.get("ID") != "debian" or "VERSION_CODENAME" not in names:
        system = names.get("PRETTY_NAME", "this system")
        raise BondtraceError(f"kernels are downloaded on Debian releases only, this is {system}: {GIVE_A_PATH}")
    return names["VERSION_CODENAME"]


def machine_sources() -> list[SourceEntry]:
    """Return the machine's apt sources, from where its apt looks for them."""
    query = ["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]
    assignments = "\n".join(shlex.split(_run(query).stdout))
    where = dict(line.split("=", 1) for line in assignments.splitlines() if "=" in line)
    entries = []
    parts = Path(where.get("PARTS", "/etc/apt/sources.list.d"))
    for path in [Path(where.get("LIST", "/etc/apt/sources.list")), *sorted(parts.glob("*"))]:
        if path.is_file() and path.suffix in (".list", ".sources"):
            parse = parse_deb822 if path.suffix == ".sources" else parse_one_line
            entries += parse(path.read_text(encoding="utf-8", errors="replace"))
    return entries


class PrivateApt:
    """apt with its own sources, lists and cache in ``directory``; hold the cache's lock while using it."""

    def __init__(self, directory: Path, sources: str, arch: str) -> None:
        self.directory = directory
        self.arch = arch
        self._conf = directory / "apt.conf"
        self._stamp = directory / "updated"
        for part in ("sources.d", "state", "lists/partial", "cache/archives/partial"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        self._conf.write_text(apt_configuration(directory, arch), encoding="utf-8")
        written = directory / "sources.d" / "kernels.sources"
        if not written.exists() or written.read_text(encoding="utf-8") != sources:
            written.write_text(sources, encoding="utf-8")
            self._stamp.unlink(missing_ok=True)

    def update(self, *, force: bool = False) -> bool:
        """Fetch the package lists unless they are fresh; return whether it did.

        A suite that fails (moved away, not mirrored) is no error here: the search then does not find its kernels.
        """
        if not force and self._stamp.exists() and time.time() - self._stamp.stat().st_mtime < LISTS_AGE_S:
            return False
        result = _run(["apt-get", "-q", "-c", str(self._conf), "update"], check=False)
        if any((self.directory / "lists").glob("*_Packages*")):
            self._stamp.touch()
            return True
        raise BondtraceError(f"apt-get update found no package list: {_last_line(result.stderr)}; {GIVE_A_PATH}")

    def packages(self) -> list[str]:
        """Return the names of all available kernel packages."""
        pattern = "^linux-(image|binary|modules)-[0-9]"
        output = _run(["apt-cache", "-c", str(self._conf), "search", "--names-only", pattern]).stdout
        return [line.split(" ", 1)[0] for line in output.splitlines() if line]

    def default_release(self) -> str | None:
        """Return the release that linux-image-ARCH depends on."""
        meta = f"linux-image-{self.arch}"
        return default_release(_run(["apt-cache", "-c", str(self._conf), "depends", meta], check=False).stdout)

    def download(self, packages: Sequence[str], directory: Path) -> list[Path]:
        """Download packages into a directory; return their files. ``BondtraceError`` when one fails."""
        names = [f"{name}:{self.arch}" for name in packages]
        result = _run(["apt-get", "-q", "-c", str(self._conf), "download", *names], cwd=directory, check=False)
        files = sorted(directory.glob("*.deb"))
        if result.returncode != 0 or len(files) != len(packages):
            raise BondtraceError(f"cannot download {' '.join(packages)}: {_last_line(result.stderr)}")
        return files


def unpack(package: Path, directory: Path) -> None:
    """Unpack a package's files without installing anything."""
    _run(["dpkg-deb", "-x", str(package), str(directory)])


def _run(argv: Sequence[str], *, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if check and result.returncode != 0:
        raise BondtraceError(f"{argv[0]} failed: {_last_line(result.stderr)}; {GIVE_A_PATH}")
    return result


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"
